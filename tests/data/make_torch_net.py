"""Makes torch_iris.pt, .onnx and .npz with PyTorch 1.13 (Debian's python3-torch): no test needs it.

A net 4-12-3 on iris as it comes, trained for 300 epochs; .npz holds PyTorch's own logits of all
samples.
"""

import csv
import sys

import numpy as np
import torch

rows = list(csv.reader(open(sys.argv[1])))
x = torch.tensor([[float(v) for v in row[:4]] for row in rows])
y = torch.tensor([int(row[4]) for row in rows])
torch.manual_seed(1)
net = torch.nn.Sequential(torch.nn.Linear(4, 12), torch.nn.ReLU(), torch.nn.Linear(12, 3))
optimiser = torch.optim.Adam(net.parameters(), 0.02)
for _ in range(300):
    optimiser.zero_grad()
    torch.nn.functional.cross_entropy(net(x), y).backward()
    optimiser.step()
torch.save(net.state_dict(), "torch_iris.pt")
torch.onnx.export(net, x[:2], "torch_iris.onnx", input_names=["x"], output_names=["z"],
                  dynamic_axes={"x": {0: "N"}}, opset_version=14)
np.savez("torch_iris.npz", logits=net(x).detach().numpy())
