"""Networks that take noise off axial slices, of ddpm, pddpm and cddpm (Behrendt et al. 2024, 2025)."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from patch2loc.methods.reconstruction.output_layer import OutputConv2d
from patch2loc.methods.reconstruction.simplex_noise import optional
from patch2loc.methods.reconstruction.slice_encoder import SliceEncoder

WIDTHS = (128, 256, 256)
ENCODER_WIDTHS = (64, 128, 256, 512)


class Denoiser(nn.Module):
    """Predicts slices without noise from slices with noise.

    Parameters with the widths of the papers: 37,513,857, with an encoder 44,068,481 and the encoder's 24,550,848.

    Args:
        widths: Channels of the U-Net's levels.
        blocks: Residual blocks of a level.
        encoder_widths: Of the encoder that describes the clean slice to the U-Net (cddpm), or None.
    """

    unet: Any  # a U-Net of diffusers
    encoder: SliceEncoder | None

    def __init__(
        self,
        widths: Sequence[int] = WIDTHS,
        blocks: int = 3,
        encoder_widths: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if encoder_widths is None:
            self.unet, self.encoder = unet(widths, blocks), None
        else:
            self.unet = conditioned_unet(widths, blocks)
            self.encoder = SliceEncoder(encoder_widths, 4 * widths[0])
        # A new network predicts 0, the middle gray, everywhere.
        self.unet.conv_out = OutputConv2d(widths[0], 1, 3, padding=1)
        nn.init.zeros_(self.unet.conv_out.weight)
        nn.init.zeros_(self.unet.conv_out.bias)
        plain = optional("diffusers.models.attention_processor").AttnProcessor()
        for attention in self.unet.mid_block.attentions:
            attention.set_processor(plain)  # the fused one adds in any order on a GPU

    def forward(self, noisy: Tensor, step: Tensor, clean: Tensor) -> Tensor:
        """Predicted slices (n, 1, x, y), from noisy and clean ones and time steps (n,), 0 (little noise) to 999."""
        if self.encoder is None:
            predicted: Tensor = self.unet(noisy, step).sample
        else:
            features = self.encoder((clean + 1) / 2)
            predicted = self.unet(noisy, step, encoder_hidden_states=None, class_labels=features).sample
        return predicted


def unet(widths: Sequence[int], blocks: int) -> Any:
    """The U-Net of ddpm and pddpm, as `Denoiser`: attention in the middle only, time by scale and shift."""
    return optional("diffusers").UNet2DModel(
        **_levels(widths, blocks),
        attn_norm_num_groups=_groups(widths),  # left out, the attention has no normalization
    )


def conditioned_unet(widths: Sequence[int], blocks: int) -> Any:
    """The U-Net of cddpm: that of ddpm, but scaled and shifted by the description of a slice, too.

    The description has four times the first width, as the code of the time step that it is put beside.
    """
    levels = _levels(widths, blocks)
    network = optional("diffusers").UNet2DConditionModel(
        **levels,
        mid_block_type="UNetMidBlock2D",
        class_embed_type="projection",
        projection_class_embeddings_input_dim=4 * widths[0],
        class_embeddings_concat=True,
        cross_attention_dim=64,  # asked for, though there is no cross-attention
    )
    # The middle that UNet2DConditionModel makes has no attention.
    network.mid_block = optional("diffusers.models.unets.unet_2d_blocks").UNetMidBlock2D(
        in_channels=widths[-1],
        temb_channels=8 * widths[0],
        num_layers=1,
        resnet_eps=levels["norm_eps"],
        resnet_time_scale_shift=levels["resnet_time_scale_shift"],
        attention_head_dim=levels["attention_head_dim"],
        attn_groups=_groups(widths),
        resnet_groups=_groups(widths),
        add_attention=True,
    )
    return network


def _levels(widths: Sequence[int], blocks: int) -> dict[str, Any]:
    return {
        "in_channels": 1,
        "out_channels": 1,
        "layers_per_block": blocks,
        "block_out_channels": tuple(widths),
        "down_block_types": ("ResnetDownsampleBlock2D",) * len(widths),
        "up_block_types": ("ResnetUpsampleBlock2D",) * len(widths),
        "resnet_time_scale_shift": "scale_shift",
        "attention_head_dim": min(64, widths[-1]),
        "norm_num_groups": _groups(widths),
        "norm_eps": 1e-5,
    }


def _groups(widths: Sequence[int]) -> int:
    """Groups of channels that are normalized together: 32, or fewer in narrow networks."""
    return min(32, *widths)
