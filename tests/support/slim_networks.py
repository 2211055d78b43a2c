"""TF-Slim's and the original DeepLab's networks in our config."""

from deeplab_tf.config import Backbone, ModelConfig, Normalization


def slim_networks() -> dict[str, tuple[str, ModelConfig]]:
    """The networks of TF-Slim and of the original DeepLab, by what they are called here."""
    networks = {}
    for backbone in (Backbone.RESNET50, Backbone.RESNET101):
        scope = backbone.replace("resnet", "resnet_v1_")
        for beta in (False, True):
            fields = {
                "backbone": backbone,
                "deep_root": beta,
                "multi_grid": (1, 1, 1),
                "normalization": Normalization.SYMMETRIC
                if beta
                else Normalization.MEAN_SUBTRACTION,
            }
            name = f"{scope}{'_beta' if beta else ''}"
            networks[name] = scope, ModelConfig(**fields, output_stride=32)
            networks[f"{name} ASPP"] = scope, ModelConfig(**fields, num_classes=21)
    for width, divisor in ((1.0, 8), (0.5, 1)):
        networks[f"mobilenet_v2 {width}"] = (
            "MobilenetV2",
            ModelConfig(
                backbone=Backbone.MOBILENET_V2,
                width_multiplier=width,
                channel_divisor=divisor,
                multi_grid=(1, 1, 1),
                aspp_rates=(),
                num_classes=21,
                normalization=Normalization.SYMMETRIC,
            ),
        )
    return networks
