"""The network in JAX: the same weights, the same answers, jitted. It is measured beside the other forms and is not served.

    features [B, window, F] -> scaler -> convolution -> LSTM, both ways in one scan -> attention pooling -> three heads

Batch normalisation is folded into the convolution, which is a product of shifted copies (XLA's own is slower on these sizes). Every
array is float32, though 64 bits are on for the rest of the program.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from kernels import jaxed  # noqa: F401  (sets JAX up: before anything else of it)

import jax  # isort: skip
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from torch.nn import BatchNorm1d

from kernels.model import SCALED_LIMIT, VOLATILITY_LIMIT, ModelConfig, Network

Weights = Mapping[str, Array]
Answers = tuple[Array, Array, Array]


def weights(network: Network) -> dict[str, Array]:
    """The network's weights and buffers as float32 arrays, each layer's two directions stacked, the convolution normalised."""
    kept = {name: tensor.detach().numpy().astype(np.float32) for name, tensor in network.state_dict().items()}
    norm = next(part for part in network.conv if isinstance(part, BatchNorm1d))
    scale = kept["conv.1.weight"] / np.sqrt(kept["conv.1.running_var"] + np.float32(norm.eps))
    made = {
        "conv": (kept["conv.0.weight"] * scale[:, None, None]).transpose(2, 1, 0),  # [K, F, C]
        "conv_bias": (kept["conv.0.bias"] - kept["conv.1.running_mean"]) * scale + kept["conv.1.bias"],
    }
    for layer in range(network.lstm.num_layers):
        both = [f"l{layer}", f"l{layer}_reverse"]
        made[f"input_{layer}"] = np.stack([kept[f"lstm.weight_ih_{end}"].T for end in both])  # [2, in, 4H]
        made[f"state_{layer}"] = np.stack([kept[f"lstm.weight_hh_{end}"].T for end in both])  # [2, H, 4H]
        made[f"bias_{layer}"] = np.stack([kept[f"lstm.bias_ih_{end}"] + kept[f"lstm.bias_hh_{end}"] for end in both])
    rest = {name: value for name, value in kept.items() if not name.startswith(("conv.", "lstm."))}
    return {name: jnp.asarray(value, jnp.float32) for name, value in (made | rest).items()}


def jitted(network: Network, config: ModelConfig) -> Callable[[np.ndarray], Answers]:
    """float32 [B, window, F] -> the three answers of `Network.forward`. Compiled once for each batch size."""
    return partial(jax.jit(partial(forward, stride=config.conv_stride, heads=config.heads)), weights(network))


def forward(of: Weights, features: Array, *, stride: int, heads: int) -> Answers:
    scaled = jnp.clip((features - of["mean"]) / of["std"], -SCALED_LIMIT, SCALED_LIMIT)
    states = jax.nn.relu(convolved(scaled, of["conv"], stride) + of["conv_bias"])
    layer = 0
    while f"input_{layer}" in of:
        states = both_ways(states, of[f"input_{layer}"], of[f"state_{layer}"], of[f"bias_{layer}"])
        layer += 1
    seen = normed(jnp.concatenate([pooled(of, states, heads), states[:, -1]], axis=-1), of["norm.weight"], of["norm.bias"])
    logits = linear(of, "direction", seen)
    hidden = jax.nn.relu(linear(of, "confidence.0", jnp.concatenate([seen, logits], axis=-1)))
    sure = jax.nn.sigmoid(of["confidence_scale"] * linear(of, "confidence.2", hidden) + of["confidence_shift"])
    volatility = jnp.clip(linear(of, "volatility", seen), -VOLATILITY_LIMIT, VOLATILITY_LIMIT)
    volatility = jnp.exp(of["volatility_mean"] + of["volatility_std"] * volatility)
    return jax.nn.softmax(logits / of["temperature"], axis=-1), sure, volatility


def linear(of: Weights, name: str, x: Array) -> Array:
    return x @ of[f"{name}.weight"].T + of[f"{name}.bias"]


def convolved(x: Array, kernel: Array, stride: int) -> Array:
    """[B, T, F] with [K, F, C] -> [B, ceil(T / stride), C], zeros beyond both ends."""
    width, steps = kernel.shape[0], -(-x.shape[1] // stride)
    padded = jnp.pad(x, ((0, 0), (width // 2, width // 2), (0, 0)))
    shifted = [padded[:, k : k + stride * (steps - 1) + 1 : stride] for k in range(width)]
    return jnp.concatenate(shifted, axis=-1) @ kernel.reshape(-1, kernel.shape[2])


def both_ways(x: Array, of_input: Array, of_state: Array, bias: Array) -> Array:
    """One bidirectional layer: [B, T, D] -> [B, T, 2 H]; gates in torch's order (input, forget, cell, output)."""
    time = x.transpose(1, 0, 2)
    given = jnp.stack([time, time[::-1]], axis=1) @ of_input + bias[:, None]  # [T, 2, B, 4H]

    def step(carry: tuple[Array, Array], now: Array) -> tuple[tuple[Array, Array], Array]:
        state, cell = carry
        i, f, g, o = jnp.split(now + state @ of_state, 4, axis=-1)
        cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        state = jax.nn.sigmoid(o) * jnp.tanh(cell)
        return (state, cell), state

    zeros = jnp.zeros((2, x.shape[0], of_state.shape[1]), jnp.float32)
    _, states = lax.scan(step, (zeros, zeros), given)  # [T, 2, B, H]
    return jnp.concatenate([states[:, 0], states[::-1, 1]], axis=-1).transpose(1, 0, 2)


def pooled(of: Weights, states: Array, heads: int) -> Array:
    """`kernels.model.AttentionPooling`."""
    n, _, size = states.shape
    width = size // heads
    query = linear(of, "pooling.query", states[:, -1]).reshape(n, heads, width)
    asked = jnp.einsum("nhw,hwd->nhd", query, of["pooling.key.weight"].reshape(heads, width, size))
    share = jax.nn.softmax(jnp.einsum("nhd,ntd->nht", asked, states) / np.float32(width**0.5), axis=-1)
    mixed = jnp.einsum("nht,ntd->nhd", share, states)
    values = jnp.einsum("nhd,hwd->nhw", mixed, of["pooling.value.weight"].reshape(heads, width, size))
    return linear(of, "pooling.out", values.reshape(n, size) + of["pooling.value.bias"])


def normed(x: Array, scale: Array, shift: Array, eps: Any = np.float32(1e-5)) -> Array:
    middle = x.mean(axis=-1, keepdims=True)
    return (x - middle) / jnp.sqrt(x.var(axis=-1, keepdims=True) + eps) * scale + shift
