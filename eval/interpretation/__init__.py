"""What a model has learned: relevant features, average images, ablation (*Visual Explanation by
Interpretation*, Oramas, Wang, Tuytelaars, ICLR 2019)."""
