"""The app: explain photos in a browser. It needs Gradio (``pip install 'gazeback[app]'``)."""
