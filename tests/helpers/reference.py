"""Plain NumPy written from the equations of arXiv 1811.07059, one position at a time."""

import numpy as np


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def embed(x, weights):
    kernel, bias = weights
    return x @ kernel + bias


def place(n, map_shape):
    """Row and column of position n, each from -1 to 1."""
    index = divmod(n, map_shape[1])
    return np.array([2 * k / (s - 1) - 1 if s > 1 else 0.0 for k, s in zip(index, map_shape)])


def neighbors(n, map_shape):
    """Yields row and column of the window of 3 x 3, and the position there, if it is on the map."""
    row, column = divmod(n, map_shape[1])
    for a in range(3):
        for b in range(3):
            i, j = row + a - 1, column + b - 1
            if 0 <= i < map_shape[0] and 0 <= j < map_shape[1]:
                yield a, b, i * map_shape[1] + j


def non_local(x, y, operation, pairwise="embedded_gaussian", scale=1.0, map_shape=None):
    """r(X, Y) of eq. 2, for one X `[N, C_x]` and one Y `[M, C_y]`; returns Z `[N, C_z]` and w.

    Options, by what the operation holds: `gain`, `displacement`, `local_kernel`.
    """
    theta, phi = x, y
    if pairwise != "gaussian":
        theta, phi = embed(x, operation["theta"]), embed(y, operation["phi"])
    if "gain" in operation:
        theta = [operation["gain"][0] * t / np.sqrt(np.mean(t**2) + 1e-6) for t in theta]
        phi = np.array([p / np.sqrt(np.mean(p**2) + 1e-6) for p in phi])
    g = embed(y, operation["g"])
    z, weights = [], []
    for x_i in theta:
        f = []
        for y_j in phi:
            if pairwise == "concatenation":
                w_f = operation["w_f"]
                f.append(max(0.0, scale * np.dot(w_f.reshape(-1), np.concatenate([x_i, y_j]))))
            else:
                f.append(scale * np.dot(x_i, y_j))
        f = np.array(f)
        if pairwise in ("embedded_gaussian", "gaussian"):
            f = np.exp(f - f.max())
            w = f / f.sum()
        else:
            w = f / len(phi)
        weights.append(w)
        z.append(sum(w_ij * g_j for w_ij, g_j in zip(w, g)))
        i = len(z) - 1
        if "displacement" in operation:
            away = [place(j, map_shape) - place(i, map_shape) for j in range(len(g))]
            z[i] = z[i] + sum(w_ij * (p @ operation["displacement"]) for w_ij, p in zip(w, away))
        if "local_kernel" in operation:
            z[i] = z[i] + sum(
                operation["local_kernel"][a, b] * g[j] for a, b, j in neighbors(i, map_shape)
            )
    return np.array(z), np.array(weights)


def gates(x, h, operations, **kwargs):
    """i, f, o and g of eq. 3 for one X_t `[N, C]` and H_{t-1} `[N, units]`."""

    def r(name, y):
        return non_local(x, y, operations[name], **kwargs)[0]

    i = sigmoid(r("ix", x) + r("ih", h))
    f = sigmoid(r("fx", x) + r("fh", h))
    o = sigmoid(r("ox", x) + r("oh", h))
    g = np.tanh(r("gx", x) + r("gh", h))
    return i, f, o, g


def step(x, h, c, operations, **kwargs):
    """Eq. 3 for one X_t `[N, C]`, H and C `[N, units]`; operations["ix"] ... operations["gh"]."""
    i, f, o, g = gates(x, h, operations, **kwargs)
    c = f * c + i * g
    return o * np.tanh(c), c


def gates_over_time(X, operations, units, **kwargs):
    """The gates over X `[T, N, C]` from H_0 = C_0 = 0: i, f, o, g `[4, T, N, units]`."""
    h, c = (np.zeros((X.shape[1], units), X.dtype),) * 2
    found = []
    for x in X:
        found.append(gates(x, h, operations, **kwargs))
        h, c = step(x, h, c, operations, **kwargs)
    return np.stack(found, axis=1)


def relational_lstm(X, operations, units, state=None, mask=None, **kwargs):
    """Eq. 3 over X `[batch, T, N, C]`; returns H `[batch, T, N, units]` and C_T.

    Where the mask is False the step is skipped: state and output stay those of the step before.
    """
    batch, T, N, _ = X.shape
    H = np.zeros((batch, T, N, units), X.dtype)
    last = np.zeros((batch, N, units), X.dtype)
    for b in range(batch):
        h, c = (np.zeros((N, units), X.dtype),) * 2 if state is None else (state[0][b], state[1][b])
        output = np.zeros((N, units), X.dtype)
        for t in range(T):
            if mask is None or mask[b, t]:
                h, c = step(X[b, t], h, c, operations, **kwargs)
                output = h
            H[b, t] = output
        last[b] = c
    return H, last


def batch_normalization(x, gamma, beta, mean, variance, epsilon):
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta


def optimizer_steps(name, w, gradients, rates, weight_decay, decays, momentum=0.9):
    """One weight after the steps of an optimizer, and its slots: velocity, or m and v.

    SGD: Sutskever et al., 2013; Adam: Kingma and Ba, arXiv 1412.6980, algorithm 1; LAMB: You et
    al., arXiv 1904.00962, algorithm 2; decay apart from the gradient: arXiv 1711.05101.
    """
    beta_1, beta_2, epsilon = 0.9, 0.999, 1e-7
    velocity, m, v = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for t, (g, rate) in enumerate(zip(gradients, rates), 1):
        if decays and name == "sgd":
            g = g + weight_decay * w
        elif decays:
            w = w - rate * weight_decay * w
        if name in ("sgd", "sgdw"):
            velocity = momentum * velocity - rate * g
            w = w + velocity
            continue
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        step = (m / (1 - beta_1**t)) / (np.sqrt(v / (1 - beta_2**t)) + epsilon)
        if name == "lamb":
            norms = np.sqrt((w**2).sum()), np.sqrt((step**2).sum())
            step = step * (norms[0] / norms[1] if min(norms) > 0 else 1.0)
        w = w - rate * step
    return w, [velocity] if name in ("sgd", "sgdw") else [m, v]


def lstm(x, kernel, recurrent_kernel, bias, peepholes=None, norms=None):
    """Last hidden state of an LSTM over x [batch, T, C]; gates stand in the order i, f, c, o.

    Peepholes w_i, w_f, w_o: Gers and Schmidhuber, 2000. Norms, (gamma, beta) of W x, of U h and of
    the new c: Ba et al., arXiv 1607.06450, equations 20 - 22.
    """

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    def normed(z, number):
        if norms is None:
            return z
        gamma, beta = norms[number]
        mean, variance = z.mean(-1, keepdims=True), z.var(-1, keepdims=True)
        return gamma * (z - mean) / np.sqrt(variance + 1e-3) + beta

    w_i, w_f, w_o = peepholes or (0.0, 0.0, 0.0)
    h = c = np.zeros((len(x), len(recurrent_kernel)))
    for x_t in np.moveaxis(x, 1, 0):
        z = normed(x_t @ kernel, 0) + normed(h @ recurrent_kernel, 1) + bias
        i, f, new, o = np.split(z, 4, axis=-1)
        c = sigmoid(f + w_f * c) * c + sigmoid(i + w_i * c) * np.tanh(new)
        c = normed(c, 2)
        h = sigmoid(o + w_o * c) * np.tanh(c)
    return h
