"""What a run tells of itself: TensorBoard, trackers, the environment."""
