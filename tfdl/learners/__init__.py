"""Learners: a `keras.Model` around networks that are given to it, with the loss and the use of one method."""
