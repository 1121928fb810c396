"""Makes sklearn_cancer.onnx and .npz with scikit-learn and skl2onnx: no test needs them.

StandardScaler and MLPClassifier 30-6-1 (logistic) on breast_cancer as it comes; .npz holds
scikit-learn's own probabilities of the second class.
"""

import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

x, y = load_breast_cancer(return_X_y=True)
net = make_pipeline(
    StandardScaler(), MLPClassifier((6,), "logistic", max_iter=400, random_state=1)
).fit(x, y)
model = to_onnx(net, x[:1].astype(np.float32), options={"zipmap": False})
open("sklearn_cancer.onnx", "wb").write(model.SerializeToString())
np.savez("sklearn_cancer.npz", probabilities=net.predict_proba(x)[:, 1])
