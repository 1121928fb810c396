"""Accuracy of the fixed-point core beside float32: same initial weights, same order of samples."""
