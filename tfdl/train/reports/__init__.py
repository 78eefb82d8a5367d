"""Reports of a run: TensorBoard, figures, progress, trackers, the environment."""
