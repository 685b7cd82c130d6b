"""The network: a window of features in; direction, confidence and volatility out.

    features [B, window, F] -> scaler -> Conv1d -> bidirectional LSTM -> attention pooling -> three heads

The scaler and the calibration are buffers, so they travel with the weights into ONNX. Pooling is multi-head attention with
one query, the state at the last second (Vaswani et al. 2017 with one row of the score matrix: all that the heads read).
"""

from pathlib import Path

import msgspec
import safetensors.torch
import torch
from torch import Tensor, nn

WEIGHTS, CONFIG = "model.safetensors", "config.json"
DOWN, FLAT, UP = 0, 1, 2  # the columns of `direction`
SCALED_LIMIT = 8.0  # standard deviations; a wilder input is worth no more than this
VOLATILITY_LIMIT = 6.0  # standard deviations of log volatility
TINY = 1e-12


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What it takes to build the network again, and to know which features it wants, in which order."""

    n_features: int
    window: int
    conv_channels: int = 32
    conv_stride: int = 2  # seconds per state of the LSTM: two halve its work, live and in training, for next to no loss
    lstm_hidden: int = 32
    lstm_layers: int = 1
    heads: int = 4
    dropout: float = 0.1
    feature_names: tuple[str, ...] = ()
    feature_set_hash: str = ""


class AttentionPooling(nn.Module):
    """[B, T, D] -> [B, D]: scaled dot-product attention over time, asked by the last state alone.

    With one query, projecting the query back (`q K'`) and the mixture forward (`V s`) says the same as projecting every state to a
    key and a value, for 1/T of the work; the keys' bias adds one number to all of a head's scores, which softmax does not see.
    """

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads, self.width = heads, size // heads
        self.query, self.key, self.value, self.out = (nn.Linear(size, size) for _ in range(4))

    def forward(self, states: Tensor) -> Tensor:
        n, size = states.shape[0], self.heads * self.width
        of_head = (self.heads, self.width, size)
        query = self.query(states[:, -1]).view(n, self.heads, self.width).transpose(0, 1)
        asked = (query @ self.key.weight.view(of_head)).transpose(0, 1)  # [B, heads, D]
        share = torch.softmax(asked @ states.transpose(1, 2) / self.width**0.5, dim=-1)  # [B, heads, T]
        mixed = (share @ states).transpose(0, 1)  # [heads, B, D]
        heads = (mixed @ self.value.weight.view(of_head).transpose(1, 2)).transpose(0, 1)
        return self.out(heads.reshape(n, size) + self.value.bias)


class Network(nn.Module):
    """See the module. In training, `raw` gives what the losses want; `forward` is what is served."""

    mean: Tensor
    std: Tensor
    temperature: Tensor
    confidence_scale: Tensor
    confidence_shift: Tensor
    volatility_mean: Tensor
    volatility_std: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        size = 2 * config.lstm_hidden
        if size % config.heads:
            raise ValueError(f"heads ({config.heads}) must divide twice lstm_hidden ({size})")
        self.register_buffer("mean", torch.zeros(config.n_features))
        self.register_buffer("std", torch.ones(config.n_features))
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("confidence_scale", torch.ones(()))
        self.register_buffer("confidence_shift", torch.zeros(()))
        self.register_buffer("volatility_mean", torch.zeros(()))
        self.register_buffer("volatility_std", torch.ones(()))
        self.conv = nn.Sequential(
            nn.Conv1d(config.n_features, config.conv_channels, kernel_size=5, stride=config.conv_stride, padding=2),
            nn.BatchNorm1d(config.conv_channels),
            nn.ReLU(),
            nn.Dropout(config.dropout),
        )
        between = config.dropout if config.lstm_layers > 1 else 0.0
        self.lstm = nn.LSTM(
            config.conv_channels, config.lstm_hidden, config.lstm_layers, batch_first=True, bidirectional=True, dropout=between
        )
        self.pooling = AttentionPooling(size, config.heads)
        self.norm = nn.LayerNorm(2 * size)
        self.dropout = nn.Dropout(config.dropout)
        self.direction = nn.Linear(2 * size, 3)
        self.confidence = nn.Sequential(nn.Linear(2 * size + 3, 16), nn.ReLU(), nn.Linear(16, 1))
        self.volatility = nn.Linear(2 * size, 1)

    def raw(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Uncalibrated (direction logits [B, 3], confidence logit [B], scaled log volatility [B]) of [B, window, F]."""
        scaled = ((features - self.mean) / self.std).clamp(-SCALED_LIMIT, SCALED_LIMIT)
        states, _ = self.lstm(self.conv(scaled.transpose(1, 2)).transpose(1, 2))
        seen = self.dropout(self.norm(torch.cat([self.pooling(states), states[:, -1]], dim=-1)))
        logits = self.direction(seen)
        # Being right is learnt beside the direction, not through it: the body is not bent to please this head.
        confidence = self.confidence(torch.cat([seen, logits], dim=-1).detach())
        return logits, confidence[:, 0], self.volatility(seen)[:, 0]

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """float32 [B, window, F] -> (probabilities of down, flat, up [B, 3]; probability that the likeliest is right [B, 1];
        realised volatility over the horizon, as a fraction of price, > 0 [B, 1])."""
        logits, confidence, volatility = self.raw(features)
        direction = torch.softmax(logits / self.temperature, dim=-1)
        sure = torch.sigmoid(self.confidence_scale * confidence + self.confidence_shift)
        scaled = volatility.clamp(-VOLATILITY_LIMIT, VOLATILITY_LIMIT)
        return direction, sure[:, None], torch.exp(self.volatility_mean + self.volatility_std * scaled)[:, None]

    @torch.no_grad()
    def set_scaler(self, mean: Tensor, std: Tensor, volatility_mean: float, volatility_std: float) -> None:
        """Moments of the training data: of the features, and of log volatility. A constant column is left unscaled."""
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > TINY, std, torch.ones_like(std)))
        self.volatility_mean.fill_(volatility_mean)
        self.volatility_std.fill_(volatility_std if volatility_std > TINY else 1.0)

    @torch.no_grad()
    def set_calibration(self, temperature: float, confidence_scale: float, confidence_shift: float) -> None:
        self.temperature.fill_(temperature)
        self.confidence_scale.fill_(confidence_scale)
        self.confidence_shift.fill_(confidence_shift)


def new(config: ModelConfig) -> Network:
    """A network with fresh weights, drawn from torch's generator (seed it before)."""
    return Network(config)


def save(folder: Path, network: Network, config: ModelConfig) -> None:
    """Write the weights (safetensors, with all buffers) and the configuration into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    (folder / WEIGHTS).write_bytes(safetensors.torch.save(state))
    (folder / CONFIG).write_bytes(msgspec.json.format(msgspec.json.encode(config), indent=1))


def load(folder: Path) -> tuple[Network, ModelConfig]:
    """The network kept in `folder`, ready to answer (eval mode). A file that is missing or does not fit raises."""
    config = msgspec.json.decode((folder / CONFIG).read_bytes(), type=ModelConfig)
    network = Network(config)
    network.load_state_dict(safetensors.torch.load((folder / WEIGHTS).read_bytes()))
    return network.eval(), config
