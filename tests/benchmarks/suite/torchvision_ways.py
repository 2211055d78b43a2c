"""torchvision's DeepLabv3 on a CPU or a GPU: eager, channels_last, compiled."""

import torch
import torchvision
from torch._inductor import config as inductor
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3

from deeplab_tf.config import TrainConfig
from deeplab_tf.images.classes import VOID

from .turns import Way
from .work import CLASSES, Work

FORMS = ("eager", "channels_last", "compiled")
"""`compiled` is channels_last too, its faster layout. "compiled, frozen" is one more of inference:
its weights are constants, as in an exported model."""

RATES_AT_16 = (6, 12, 18)


def make_ways(work: Work, device: str = "cpu", calls: int = 1, forms=FORMS) -> dict[str, Way]:
    """Returns the ways by name.

    On a GPU `compiled` inference also replays a CUDA graph ("reduce-overhead").
    """
    return {f"torchvision, {form}": _way(work, device, calls, form) for form in forms}


def build(work: Work) -> torch.nn.Module:
    """torchvision's own parts, with its strides and rates, for any output_stride; no auxiliary head
    and no dropout."""
    dilate = [False, work.output_stride <= 8, work.output_stride <= 16]
    resnet = getattr(torchvision.models, str(work.backbone))
    backbone = resnet(weights=None, replace_stride_with_dilation=dilate)
    rates = tuple(rate * 16 // work.output_stride for rate in RATES_AT_16)
    head = DeepLabHead(2048, CLASSES, rates)
    for module in head.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return DeepLabV3(IntermediateLayerGetter(backbone, {"layer4": "out"}), head)


def _way(work: Work, device: str, calls: int, form: str) -> Way:
    model = build(work).to(device).train(work.training)
    images = torch.from_numpy(work.images()).to(device).permute(0, 3, 1, 2).float() / 255
    if work.bfloat16 and not work.training:
        # Weights in bfloat16 too, which spares the casts of every call.
        model, images = model.bfloat16(), images.bfloat16()
    if form == "eager":
        images = images.contiguous()
    else:
        model, images = (x.to(memory_format=torch.channels_last) for x in (model, images))
    if work.training:
        run = _training(model, images, work, device, form)
    else:
        run = _forward(model, form, work.to_labels)

    def way() -> float:
        result = 0.0
        for _ in range(calls):
            result = run(images)
        if device != "cpu":
            torch.cuda.synchronize()
        return result

    return way


def _forward(model: torch.nn.Module, form: str, to_labels: bool):
    if form in ("compiled", "compiled, frozen"):
        on_gpu = next(model.parameters()).is_cuda
        model = torch.compile(model, mode="reduce-overhead" if on_gpu else "default")

    # Frozen weights are folded with the batch norms and laid out once; inference_mode forbids it.
    @torch.no_grad()
    def run(images: torch.Tensor) -> None:
        # The option is read while the first call compiles.
        with inductor.patch(freezing=form == "compiled, frozen"):
            logits = model(images)["out"]
            if to_labels:
                logits.argmax(1).to(torch.uint8)

    return run


def _training(model: torch.nn.Module, images: torch.Tensor, work: Work, device: str, form: str):
    masks = torch.from_numpy(work.masks()).to(device).long()
    train = TrainConfig()
    optimizer = torch.optim.SGD(
        model.parameters(), 1e-4, momentum=train.momentum, weight_decay=train.weight_decay
    )
    loss_of = torch.nn.CrossEntropyLoss(ignore_index=VOID)
    forward = torch.compile(model) if form == "compiled" else model

    def run(images: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=work.bfloat16):
            loss = loss_of(forward(images)["out"].float(), masks)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return run
