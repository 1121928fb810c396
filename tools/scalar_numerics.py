"""docs/NUMERICS.md once more: plain Python integers, one scalar at a time, from the text alone.

Imports nothing from fixgrad and shares no code with it. It makes the vector files of what the
other implementation of `host/fixgrad/vectors/` does not know (sign activations, frozen layers) and
is slow.

    python tools/scalar_numerics.py --check     every vector file, step by step
    python tools/scalar_numerics.py --write     write those vectors
"""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

VECTORS = Path(__file__).parents[1] / "host" / "fixgrad" / "vectors"
MASK = 0xFFFFFFFF
BMAX = 1 << 28
SG = [math.floor(32768 / (1 + math.exp(-i / 16)) + 0.5) for i in range(129)]
E2 = [65535] + [math.floor(65536 * 2 ** (-i / 64) + 0.5) for i in range(1, 65)]
LG = [math.floor(1024 * math.log2(1 + i / 64) + 0.5) for i in range(65)]


def clamp(v: int, low: int, high: int) -> int:
    """Return v within low..high."""
    return max(low, min(high, v))


def rn(v: int, s: int) -> int:
    """Return RN(v, s)."""
    if s == 0:
        return v
    return ((v >> (s - 1)) + 1) >> 1 if s < 32 else 0


def rs(v: int, s: int, lim: int) -> int:
    """Return RS(v, s, lim)."""
    if s >= 0:
        return clamp(rn(v, s), -lim, lim)
    k = min(-s, 31)
    if abs(v) > lim >> k:
        return lim if v > 0 else -lim
    return v << k


def norm(v: list[int], db: int) -> tuple[list[int], int]:
    """Return the mantissas and the shift of NORM(v, db)."""
    sh = max(0, max(abs(x) for x in v).bit_length() - db)
    top = 2**db - 1
    return [clamp(rn(x, sh), -top, top) for x in v], sh


def sigmoid(q: int) -> int:
    """Return the sigmoid in Q15 of q in Q11."""
    m = min(abs(q), 16383)
    y = SG[m >> 7] + (((SG[(m >> 7) + 1] - SG[m >> 7]) * (m & 127) + 64) >> 7)
    return 32768 - y if q < 0 else y


def tanh(q: int) -> int:
    """Return the hyperbolic tangent in Q15 of q in Q11."""
    m = min(2 * abs(q), 16383)
    y = SG[m >> 7] + (((SG[(m >> 7) + 1] - SG[m >> 7]) * (m & 127) + 64) >> 7)
    y = min(2 * (y - 16384), 32767)
    return -y if q < 0 else y


def softmax(z: list[int], e: int, y: int) -> tuple[list[int], int]:
    """Return the error vector and the reported loss."""
    top, s = max(z), -10 - e
    us, exs = [], []
    for value in z:
        t = top - value
        if s >= 32:
            t = 0
        elif s >= 0:
            t = min(t >> s, 32767)
        else:
            k = min(-s, 31)
            t = 32767 if t > 32767 >> k else t << k
        u = (t * 23637) >> 14
        n, f = u >> 10, u & 1023
        i, g = f >> 4, f & 15
        us.append(u)
        exs.append(0 if n > 16 else (E2[i] - (((E2[i] - E2[i + 1]) * g + 8) >> 4)) >> n)
    total = sum(exs)
    d = [((ex << 15) + (total >> 1)) // total for ex in exs]
    d[y] -= 32768
    nb = total.bit_length() - 1
    fr = ((total << (31 - nb)) >> 15) & 0xFFFF
    j = fr >> 10
    log2 = (nb << 10) + LG[j] + (((LG[j + 1] - LG[j]) * (fr & 1023) + 512) >> 10)
    return d, us[y] + log2 - 16 * 1024


class Scalar:
    """A model; `config` is that of a vector file, `arrays` hold weights_l and bias_l."""

    def __init__(self, config: dict[str, Any], arrays: Any) -> None:
        """Take the state before the first step."""
        self.n = config["layers"]
        self.count = len(self.n) - 1
        names = config["activation"]
        self.act = [names] * (self.count - 1) if isinstance(names, str) else names
        self.loss = config["loss"]
        self.ab, self.top = config["activation_bits"], config["activation_max"]
        self.wb, self.db, self.dp = (
            config["weight_bits"], config["delta_bits"], config["update_bits"]
        )
        self.mu, self.vf = config["momentum_q8"], config["velocity_bits"]
        self.every, self.k = config["decay_every"], config["decay_shift"]
        self.clip = config["clip_exponent"]
        self.adaptive, self.widen = config["adaptive"], config["widen"]
        self.frozen = config.get("frozen", 0)
        self.w = [arrays[f"weights_{i}"].astype(int).tolist() for i in range(self.count)]
        self.b = [arrays[f"bias_{i}"].astype(int).tolist() for i in range(self.count)]
        self.v = [[[0] * len(row) for row in w] for w in self.w]
        self.vb = [[0] * len(b) for b in self.b]
        self.ew, self.ex = list(config["weight_exponent"]), list(config["activation_exponent"])
        self.low, self.s, self.t = [0] * self.count, config["prng"], 0
        self.wsat = self.asat = self.bsat = 0

    def draw(self) -> int:
        """Advance the generator."""
        self.s = (self.s * 1664525 + 1013904223) & MASK
        return self.s

    def digest(self) -> int:
        """Return the digest of section 9."""
        words: list[int] = []
        for i in range(self.count):
            words += [x for row in self.w[i] for x in row] + self.b[i]
            if self.mu:
                words += [x for row in self.v[i] for x in row] + self.vb[i]
        words += [*self.ew, *self.ex, *self.low[1:], self.s, self.t]
        d = 0x811C9DC5
        for word in words:
            d = (d * 0x9E3779B1 + word) & MASK
        return d

    def forward(self, x: list[int], amx: list[int]) -> tuple[list[list[int]], Any, list[int]]:
        """Return inputs of every layer, gates of every layer and the logits."""
        rows, gates = [x], [[1] * len(x)]
        for i in range(self.count):
            acc = [
                b + sum(w * a for w, a in zip(row, rows[-1], strict=True))
                for row, b in zip(self.w[i], self.b[i], strict=True)
            ]
            if i == self.count - 1:
                return rows, gates, acc
            e, limit = self.ew[i] + self.ex[i], self.top[i + 1]
            row, gate = [], []
            for z in acc:
                q = rs(z, -11 - e, 32767)
                gate.append(int(abs(q) <= 2048))
                if self.act[i] in ("relu", "leaky"):
                    v = z if z >= 0 else 0 if self.act[i] == "relu" else z >> 3
                    v = rs(v, self.ex[i + 1] - e, 2**31 - 1)
                    amx[i + 1] = max(amx[i + 1], abs(v))
                    self.asat += abs(v) > limit
                    row.append(clamp(v, -limit, limit))
                elif self.act[i] == "sign":
                    row.append(2 ** (self.ab[i] - 1) * (1 if z >= 0 else -1))
                else:
                    f = sigmoid(q) if self.act[i] == "sigmoid" else tanh(q)
                    row.append(clamp(rn(f, 15 - self.ab[i]), -limit, limit))
            rows.append(row)
            gates.append(gate)
        raise AssertionError

    def error(self, z: list[int], y: Any) -> tuple[list[int], int, int]:
        """Return error vector, exponent and reported loss of one sample."""
        e = self.ew[-1] + self.ex[-1]
        if self.loss == "softmax_cross_entropy":
            d, loss = softmax(z, e, int(y))
            return d, -15, loss
        if self.loss == "squared_error":
            d = [rs(v, -16 - e, 2**26) - int(t) for v, t in zip(z, y, strict=True)]
            return d, -16, sum(rs(v, 8, 2047) ** 2 for v in d)
        a = [sigmoid(rs(v, -11 - e, 32767)) for v in z]
        d = [v - int(t) for v, t in zip(a, y, strict=True)]
        loss = sum(rs(v, 7, 2047) ** 2 for v in d)
        if self.loss == "sigmoid_binary_cross_entropy":
            return d, -15, loss
        return [v * rn(o * (32768 - o), 15) for v, o in zip(d, a, strict=True)], -30, loss

    def backward(
        self, rows: list[list[int]], gates: Any, d: list[int], exponent: int
    ) -> list[tuple[list[int], int, int]]:
        """Return (mantissas, ed, md) of every trained layer."""
        m, sh = norm(d, self.db[-1])
        ed, md = exponent + sh, max(map(abs, m))
        if self.clip is not None and md > 0:
            ed -= max(0, ed + md.bit_length() - self.clip)
        deltas = [(m, ed, md)]
        for i in range(self.count - 1, self.frozen, -1):
            m, ed, _ = deltas[0]
            e = [sum(self.w[i][j][c] * m[j] for j in range(len(m))) for c in range(self.n[i])]
            ex, act, a, ab = self.ew[i] + ed, self.act[i - 1], rows[i], self.ab[i - 1]
            if act in ("relu", "leaky"):
                dead = [0 if act == "relu" else v >> 3 for v in e]
                e = [v if x > 0 else z for v, x, z in zip(e, a, dead, strict=True)]
            elif act == "sign":
                e = [v if g else 0 for v, g in zip(e, gates[i], strict=True)]
            else:
                e, sh = norm(e, 15)
                q = [x * (2**ab - x) if act == "sigmoid" else 2 ** (2 * ab) - x * x for x in a]
                q = [rn(x, 2 * ab - 15) if 2 * ab >= 15 else x << (15 - 2 * ab) for x in q]
                e = [v * x for v, x in zip(e, q, strict=True)]
                ex += sh - 15
            m, sh = norm(e, self.db[i - 1])
            deltas.insert(0, (m, ex + sh, max(map(abs, m))))
        return deltas

    def update(self, i: int, rows: list[list[int]], deltas: Any, lrm: int, elr: int) -> None:
        """Update layer i (section 6)."""
        f, ew, ex = self.vf if self.mu else 0, self.ew[i], self.ex[i]
        e = ew - ex - 24
        for _, ed, md in deltas:
            if md > 0:
                e = max(e, ed + (md * lrm).bit_length() + elr - self.dp)
        e = min(e, ew - ex - 1 - f)
        s, top = ew - ex - e, 2**self.dp - 1
        scaled = [[rs(v * lrm, e - (ed + elr), top) for v in m] for m, ed, _ in deltas]
        flag, limit = False, 2 ** self.wb[i]
        for j in range(self.n[i + 1]):
            for c in range(self.n[i]):
                r = self.draw()
                g = sum(d[j] * x[c] for d, x in zip(scaled, rows, strict=True))
                if self.mu:
                    g = clamp((g + (r >> (32 - (s - f)))) >> (s - f), -32767, 32767)
                    v = ((self.v[i][j][c] * self.mu + ((r >> 8) & 255)) >> 8) + g
                    self.v[i][j][c] = v = clamp(v, -32767, 32767)
                    u = (v + ((r >> 16) & (2**f - 1))) >> f
                else:
                    raw = (g + (r >> (32 - s))) >> s
                    u = clamp(raw, -(2**14), 2**14 - 1)
                    flag |= u != raw
                w = self.w[i][j][c] - u
                self.w[i][j][c] = clamp(w, -limit, limit - 1)
                flag |= self.w[i][j][c] != w
        for j in range(self.n[i + 1]):
            gb = sum(d[j] for d in scaled)
            if self.mu:
                vb = rn(self.vb[i][j] * self.mu, 8) + rs(gb, s + 2 * ex - 4, 2**20)
                self.vb[i][j] = vb = clamp(vb, -(2**22), 2**22)
                b = self.b[i][j] - rn(vb, 4)
            else:
                b = self.b[i][j] - rs(gb, s + 2 * ex, BMAX)
            self.b[i][j] = clamp(b, -BMAX, BMAX)
            self.bsat += self.b[i][j] != b
        self.wsat += flag
        if self.widen and flag and ew < 31:
            self.w[i] = [[(w + (self.draw() >> 31)) >> 1 for w in row] for row in self.w[i]]
            self.b[i] = [rn(b, 1) for b in self.b[i]]
            self.v[i] = [[rn(v, 1) for v in row] for row in self.v[i]]
            self.vb[i] = [rn(v, 1) for v in self.vb[i]]
            self.ew[i] += 1

    def end(self, amx: list[int]) -> None:
        """Do what section 7 lists."""
        if self.every and self.t % self.every == self.every - 1:
            for i in range(self.frozen, self.count):
                self.w[i] = [
                    [v - ((v + (self.draw() >> (32 - self.k))) >> self.k) for v in row]
                    for row in self.w[i]
                ]
        for i in range(1, self.count):
            if not self.adaptive or self.act[i - 1] not in ("relu", "leaky"):
                continue
            if amx[i] > self.top[i]:
                self.low[i] = 0
                if self.ex[i] < 0:
                    self.ex[i] += 1
                    self.b[i] = [rn(b, 1) for b in self.b[i]]
                    self.vb[i] = [rn(v, 1) for v in self.vb[i]]
            elif 0 < amx[i] <= self.top[i] >> 2:
                self.low[i] += 1
                if self.low[i] == 256:
                    self.low[i] = 0
                    if self.ex[i] > -14 and max(map(abs, self.b[i])) <= BMAX // 2:
                        self.ex[i] -= 1
                        self.b[i] = [2 * b for b in self.b[i]]
                        self.vb[i] = [clamp(2 * v, -(2**22), 2**22) for v in self.vb[i]]
            else:
                self.low[i] = 0
        trained = zip(self.n[self.frozen :], self.n[self.frozen + 1 :], strict=False)
        if sum(p * q for p, q in trained) % 2 == 0:
            self.draw()
        self.t = (self.t + 1) & MASK

    def step(self, xs: Iterable[Any], ys: Iterable[Any], lrm: int, elr: int) -> int:
        """Train one batch; return its reported loss."""
        amx = [0] * (self.count + 1)
        passes = [self.forward([int(v) for v in x], amx) for x in xs]
        loss, deltas = 0, []
        for (rows, gates, z), y in zip(passes, ys, strict=True):
            d, exponent, part = self.error(z, y)
            loss += part
            deltas.append(self.backward(rows, gates, d, exponent))
        for i in range(self.frozen, self.count):
            inputs = [rows[i] for rows, _, _ in passes]
            self.update(i, inputs, [sample[i - self.frozen] for sample in deltas], lrm, elr)
        self.end(amx)
        return min(loss, MASK)


def replay(config: dict[str, Any], arrays: Any) -> tuple[Scalar, list[int], list[int]]:
    """Train the steps of a vector file; return the model, digests and losses."""
    model, at = Scalar(config, arrays), 0
    digests, losses = [], []
    rates = zip(arrays["lr_mantissa"], arrays["lr_exponent"], strict=True)
    for size, (lrm, elr) in zip(arrays["samples_per_step"], rates, strict=True):
        part = slice(at, at + int(size))
        losses.append(model.step(arrays["x"][part], arrays["y"][part], int(lrm), int(elr)))
        digests.append(model.digest())
        at += int(size)
    return model, digests, losses


def cases() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Return the cases made here, without results: name -> (config, arrays)."""
    return {
        "sign_softmax": _case("sign_softmax", [12, 16, 3], ["sign"], "softmax_cross_entropy"),
        "sign_momentum_decay_mixed": _case(
            "sign_momentum_decay_mixed", [7, 9, 6, 5], ["relu", "sign"], "softmax_cross_entropy",
            momentum_q8=230, decay_every=5, activation_bits=[8, 4],
        ),
        "sign_deep_clip_squared_error": _case(
            "sign_deep_clip_squared_error", [5, 8, 7, 2], ["sign", "sign"], "squared_error",
            clip_exponent=-2, activation_bits=[15, 8], widen=True, signed=True,
        ),
        "frozen_momentum_decay_deep": _case(
            "frozen_momentum_decay_deep", [6, 9, 8, 7, 4], ["relu", "leaky", "tanh"],
            "softmax_cross_entropy", frozen=2, momentum_q8=230, decay_every=4,
            activation_exponent=[-8, -12, -12, -8],
        ),
        "frozen_all_but_the_last": _case(
            "frozen_all_but_the_last", [5, 9, 3], ["relu"], "softmax_cross_entropy", frozen=1,
            decay_every=3,
        ),
    }


def _case(
    name: str, layers: list[int], activation: list[str], loss: str, *, signed: bool = False,
    **options: Any,
) -> tuple[dict[str, Any], dict[str, Any]]:
    rng = random.Random(name)
    batch, steps, hidden = 4, 60, len(layers) - 2
    bits = options.pop("activation_bits", [8] * hidden)
    top = [2047 if signed else 255, *(2**ab - 1 for ab in bits)]
    exponents = [-9 if signed else -8]
    exponents += [1 - ab if act == "sign" else -4 for act, ab in zip(activation, bits, strict=True)]
    budget = 2**31 - 1 - BMAX
    count = len(layers) - 1
    wb = [min(14, (budget // (layers[i] * top[i])).bit_length() - 1) for i in range(count)]
    db = [15] + [
        min(15, ((2**31 - 1) // (layers[i + 1] * 2 ** wb[i]) + 1).bit_length() - 1)
        for i in range(1, count)
    ]
    dp = min(15, (2**30 // (batch * max(top)) + 1).bit_length() - 1)
    config = {
        "name": name, "numerics": 1, "layers": layers, "batch": batch, "activation": activation,
        "loss": loss, "activation_bits": bits, "activation_max": top, "weight_bits": wb,
        "delta_bits": db, "update_bits": dp, "weight_exponent": [2 - b for b in wb],
        "activation_exponent": exponents, "momentum_q8": 0, "velocity_bits": 6, "decay_every": 0,
        "decay_shift": 9, "clip_exponent": None, "adaptive": True, "widen": False,
        "prng": rng.getrandbits(32), **options,
    }
    arrays: dict[str, Any] = {}
    for i in range(count):
        unit = 2.0 ** -config["weight_exponent"][i]
        arrays[f"weights_{i}"] = np.array(
            [[round(rng.gauss(0, 1.5 / layers[i] ** 0.5) * unit) for _ in range(layers[i])]
             for _ in range(layers[i + 1])], np.int16,
        )
        arrays[f"bias_{i}"] = np.array(
            [rng.randrange(-9999, 9999) for _ in range(layers[i + 1])], np.int32
        )
    sizes = [batch if rng.random() < 0.8 else rng.randint(1, batch) for _ in range(steps)]
    total = sum(sizes)
    low = -top[0] if signed else 0
    x = [[rng.randint(low, top[0]) for _ in range(layers[0])] for _ in range(total)]
    if loss == "softmax_cross_entropy":
        y: Any = [max(range(layers[-1]), key=lambda c: row[c] + row[-c]) for row in x]
    else:
        y = [[(row[c] - row[c + 1]) * 40 for c in range(layers[-1])] for row in x]
    arrays |= {
        "x": np.array(x, np.int16 if signed else np.uint8), "y": np.array(y, np.int32),
        "samples_per_step": np.array(sizes, np.int32),
        "lr_mantissa": np.array([rng.randint(128, 256) for _ in sizes], np.int32),
        "lr_exponent": np.array([rng.randint(-13, -10) for _ in sizes], np.int32),
    }
    return config, arrays


def write(name: str, config: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Train a case and write its vector file."""
    before = Scalar(config, arrays).digest()
    model, digests, losses = replay(config, arrays)
    final: dict[str, Any] = {
        "final_weight_exponent": np.array(model.ew, np.int32),
        "final_activation_exponent": np.array(model.ex, np.int32),
        "final_low": np.array(model.low[1:], np.int32),
    }
    for i in range(model.count):
        final[f"final_weights_{i}"] = np.array(model.w[i], np.int16)
        final[f"final_bias_{i}"] = np.array(model.b[i], np.int32)
        if model.mu:
            final[f"final_velocity_{i}"] = np.array(model.v[i], np.int16)
            final[f"final_bias_velocity_{i}"] = np.array(model.vb[i], np.int32)
    np.savez_compressed(
        VECTORS / f"{name}.npz",
        config=np.frombuffer(json.dumps(config).encode(), np.uint8),
        digest_before=np.uint32(before), digest=np.array(digests, np.uint32),
        loss=np.array(losses, np.uint32),
        counters=np.array([model.wsat, model.asat, model.bsat], np.uint32),
        **arrays, **final,
    )


def check(path: Path) -> str:
    """Return what differs in a vector file; empty if nothing does."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    config = json.loads(arrays["config"].tobytes())
    model, digests, losses = replay(config, arrays)
    if digests != arrays["digest"].tolist():
        pairs = zip(digests, arrays["digest"].tolist(), strict=True)
        return f"digest after step {next(i for i, (a, b) in enumerate(pairs, 1) if a != b)}"
    if losses != arrays["loss"].tolist():
        return "loss"
    counters = [model.wsat, model.asat, model.bsat]
    return "" if counters == arrays["counters"].tolist() else f"counters {counters}"


def main() -> int:
    """Write or check; return the exit code."""
    if "--write" in sys.argv[1:]:
        for name, (config, arrays) in cases().items():
            write(name, config, arrays)
        return 0
    wrong = 0
    for path in sorted(VECTORS.glob("*.npz")):
        if path.name not in ("order.npz", "functions.npz"):
            difference = check(path)
            wrong += bool(difference)
            print(f"{path.stem}: {difference or 'equal'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
