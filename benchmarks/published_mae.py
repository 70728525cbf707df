"""The published way to compute the reference model, in plain PyTorch: the same function of the same weights.

It follows the published experiment wherever that costs time or memory: every patch is embedded before a Boolean mask
chooses the visible ones; padding masks that hide nothing go with the tokens through every layer, and attention weights
are dropped, so that attention holds its matrix; decoders compute the softmax of all scores; and predictions
are scattered into the full grid of 29 x 18 patches, ocean included, where the loss masks them again. Its flaws that
change results (padded catchments that count, statics that say nothing) are not repeated.
"""

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from thalweg.nn.transformer import CrossLayer, FilmLayer
from trainables.water_mae.knobs import PUBLISHED_SET
from trainables.water_mae.model.autoencoder import MaskedAutoencoder
from trainables.water_mae.model.batch import Batch


def transformer_layer(ours: Any, dropout: float) -> nn.TransformerEncoderLayer:
    """Returns PyTorch's layer around the weights of an `EncoderLayer` or a `FilmLayer`."""
    dim, hidden = ours.mlp[0].in_features, ours.mlp[0].out_features
    num_heads = ours.attention.num_heads
    layer = nn.TransformerEncoderLayer(dim, num_heads, hidden, dropout, batch_first=True)
    layer.self_attn.in_proj_weight = ours.attention.query_key_value.weight
    layer.self_attn.in_proj_bias = ours.attention.query_key_value.bias
    layer.self_attn.out_proj.weight = ours.attention.output.weight
    layer.self_attn.out_proj.bias = ours.attention.output.bias
    layer.linear1, layer.linear2 = ours.mlp[0], ours.mlp[3]
    layer.norm1, layer.norm2 = ours.attention_norm, ours.mlp_norm
    return layer


class FilmEncoderLayer(nn.Module):
    """PyTorch's encoder layer with modulated normalisations."""

    def __init__(self, ours: FilmLayer, dropout: float) -> None:
        super().__init__()
        self.layer = transformer_layer(ours, dropout)
        self.film = ours.film

    def forward(self, x: Tensor, condition: Tensor, padding: Tensor) -> Tensor:
        """Mixes and transforms the tokens."""
        layer = self.layer
        scale, shift = self.film(condition)
        mixed, _ = layer.self_attn(x, x, x, key_padding_mask=padding, need_weights=False)
        x = scale * layer.norm1(x + layer.dropout1(mixed)) + shift
        transformed = layer.linear2(layer.dropout(relu(layer.linear1(x))))
        modulated: Tensor = scale * layer.norm2(x + layer.dropout2(transformed)) + shift
        return modulated


class DenseCrossLayer(nn.Module):
    """Decoder block whose attention computes and masks every score."""

    def __init__(self, ours: CrossLayer) -> None:
        super().__init__()
        self.ours = ours

    def forward(self, x: Tensor, context: Tensor, padding: Tensor) -> Tensor:
        """Reads the context, then transforms each query."""
        ours, attention = self.ours, self.ours.cross
        query = attention.query(ours.cross_norm(x)).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        heads = attention.key_value(context).unflatten(-1, (2, attention.num_heads, -1))
        key, value = heads.permute(2, 0, 3, 1, 4).unbind(0)
        scores = (query @ key.transpose(-2, -1)) * query.shape[-1] ** -0.5
        scores = scores.masked_fill(padding[:, None, None, :], float("-inf"))
        mixed = scores.softmax(dim=-1) @ value
        x = x + attention.output(mixed.transpose(1, 2).flatten(2))
        transformed: Tensor = x + ours.mlp(ours.mlp_norm(x))
        return transformed


class PublishedAutoencoder(nn.Module):
    """The masked autoencoder over full grids and Boolean masks.

    Args:
        ours: Model whose weights it takes.
        dropout: Dropout of encoders and shared layers, attention weights included.
    """

    def __init__(self, ours: MaskedAutoencoder, dropout: float) -> None:
        super().__init__()
        self.ours = ours  # for embeddings, positions and tokens, which cost the same either way
        self.encoders = nn.ModuleDict(
            {name: _stack(_encoder(ours, name).layers, dropout) for name in PUBLISHED_SET.names}
        )
        *layers, self.fusion_norm = ours.fusion.layers
        self.fusion = _stack(layers, dropout)
        self.decoders = nn.ModuleDict(
            {
                name: nn.ModuleList(map(DenseCrossLayer, _decoder(ours, name).layers))
                for name in PUBLISHED_SET.names
            }
        )

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Returns the mean squared error of each modality.

        Args:
            batch: As `full_grids` returns it.
        """
        encoded = {name: self._encode(batch, name) for name in PUBLISHED_SET.names}
        lengths = [tokens.shape[1] for tokens in encoded.values()]
        x = torch.cat(list(encoded.values()), dim=1)
        padding = torch.zeros(x.shape[:2], dtype=torch.bool, device=x.device)
        for layer in self.fusion:
            x = layer(x, src_key_padding_mask=padding)
        fused = self.fusion_norm(x).split(lengths, dim=1)
        return {
            name: self._loss(batch, name, tokens)
            for name, tokens in zip(PUBLISHED_SET.names, fused, strict=True)
        }

    def _encode(self, batch: Batch, name: str) -> Tensor:
        encoder, layers = _encoder(self.ours, name), cast(nn.ModuleList, self.encoders[name])
        embedding = encoder.embedding
        modality = self.ours.encoder_modality_tokens[name]
        values, hidden = batch[name].to(modality.dtype), batch[f"{name}/hidden"]
        kind, _ = PUBLISHED_SET.places[name]
        if kind == "vector":
            values = (values * encoder.member_share).sum(-1, keepdim=True)
        else:
            land = batch["land"]
            values, hidden = values[:, :, land], hidden[:, :, land]
        places = embedding.position + embedding.time[:, None] + modality  # (step, patch, dim)
        tokens = (embedding.content(values) + places)[~hidden].unflatten(0, (len(values), -1))
        conditions: tuple[Tensor, ...] = ()
        if kind == "vector":
            static = encoder._static_token() + modality
            tokens = torch.cat((tokens, static.expand(len(values), 1, -1)), dim=1)
            own = encoder.condition.expand(*hidden.shape, -1)[~hidden].unflatten(0, (len(values), -1))
            conditions = (torch.cat((own, encoder.overall.expand(len(values), 1, -1)), dim=1),)
        padding = torch.zeros(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        for layer in layers:
            tokens = layer(tokens, *conditions, padding) if conditions else _masked(layer, tokens, padding)
        normalised: Tensor = encoder.norm(tokens)
        return normalised

    def _loss(self, batch: Batch, name: str, context: Tensor) -> Tensor:
        decoder = _decoder(self.ours, name)
        target, hidden, valid = (batch[f"{name}{part}"] for part in ("", "/hidden", "/valid"))
        token = decoder.mask_token + self.ours.decoder_modality_tokens[name]
        queries = (decoder.position + decoder.time[:, None] + token).expand(*hidden.shape, -1)
        x = queries[hidden].unflatten(0, (len(hidden), -1))
        padding = torch.zeros(context.shape[:2], dtype=torch.bool, device=context.device)
        for layer in cast(nn.ModuleList, self.decoders[name]):
            x = layer(x, context, padding)
        grid = torch.zeros_like(target)
        grid[hidden] = decoder.head(decoder.norm(x)).flatten(0, 1).float()
        counted = (hidden[..., None] & valid[:, None]).float()
        errors = ((grid - target).square() * counted).flatten(1).sum(1)
        return (errors / counted.flatten(1).sum(1).clamp(min=1)).mean()


def full_grids(model: MaskedAutoencoder, batch: Batch) -> Batch:
    """Returns a training batch of ours as the published way holds it.

    Of each modality its values (batch, step, place, value) on the grid of all patches, ``/hidden`` (batch, step,
    place) and ``/valid`` (batch, place, value); ``land`` names the places of the kept image patches.
    """
    full: Batch = {"land": _decoder(model, PUBLISHED_SET.fields[0]).places}
    for name in PUBLISHED_SET.names:
        kind, index = PUBLISHED_SET.places[name]
        values, masked = batch[f"{kind}s"][:, index], batch[f"{kind}_masked"][:, index]
        decoder = _decoder(model, name)
        size, steps, _, width = values.shape
        num_places = len(decoder.position)
        grid = torch.zeros(size, steps, num_places, width)
        grid[:, :, decoder.places] = values
        hidden = torch.zeros(size, steps, num_places, dtype=torch.bool)
        valid = torch.zeros(size, num_places, width, dtype=torch.bool)
        valid[:, decoder.places] = batch[f"{kind}_valid"]
        full |= {
            name: grid,
            f"{name}/hidden": hidden.scatter(2, decoder.places[masked], True),
            f"{name}/valid": valid,
        }
    return full


def _stack(layers: Iterable[nn.Module], dropout: float) -> nn.ModuleList:
    return nn.ModuleList(
        FilmEncoderLayer(layer, dropout)
        if isinstance(layer, FilmLayer)
        else transformer_layer(layer, dropout)
        for layer in layers
    )


def _masked(layer: nn.Module, tokens: Tensor, padding: Tensor) -> Tensor:
    masked: Tensor = layer(tokens, src_key_padding_mask=padding)
    return masked


def _encoder(model: MaskedAutoencoder, name: str) -> Any:
    return model.get_submodule(f"{name}_encoder")


def _decoder(model: MaskedAutoencoder, name: str) -> Any:
    return model.get_submodule(f"{name}_decoder")
