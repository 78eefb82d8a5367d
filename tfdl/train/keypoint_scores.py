"""Errors of key points on the validation split while an estimator is trained."""

from tfdl.metrics.keypoints import point_errors
from tfdl.train.detection_scores import Scores


class KeypointScores(Scores):
    """val_nme and val_pck of an estimator of key points; `data` also has `body`."""

    def computed(self):
        return point_errors(self.model, self.data.validation, self.data.body.ends).result()
