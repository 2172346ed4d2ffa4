"""Stage 3: training. `loop.fit` trains any module; `editor.train_editor` the editing U-Net."""
