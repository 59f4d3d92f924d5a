"""Find what a model has learned: relevant features, average images, feedback, ablation (*Visual Explanation
by Interpretation*, Oramas, Wang, Tuytelaars, ICLR 2019)."""
