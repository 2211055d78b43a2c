"""DeepLabv2's last step, a fully connected CRF (arXiv 1606.00915, section 3.3), by pydensecrf2."""

import dataclasses

import numpy as np

from deeplab_tf.errors import DeeplabError


@dataclasses.dataclass(frozen=True)
class CrfParameters:
    """The CRF's pairwise terms; the defaults are those released with DeepLabv2's ResNet-101.

    Attributes:
        bilateral_weight, bilateral_xy, bilateral_rgb: the weight of the appearance kernel, and its
            standard deviations in pixels and in grey levels (w1, sigma alpha, sigma beta).
        gaussian_weight, gaussian_xy: the weight of the smoothness kernel, and its standard
            deviation in pixels (w2, sigma gamma).
        iterations: the number of iterations of mean-field inference.
    """

    bilateral_weight: float = 4.0
    bilateral_xy: float = 67.0
    bilateral_rgb: float = 3.0
    gaussian_weight: float = 3.0
    gaussian_xy: float = 1.0
    iterations: int = 10


def check_dense_crf() -> None:
    """Raises `DeeplabError` where pydensecrf2 is not installed."""
    try:
        import pydensecrf.densecrf  # noqa: F401
    except ImportError as error:
        raise DeeplabError(
            "the CRF needs pydensecrf2: pip install pydensecrf2 (compiled at installation, by a "
            "C++ compiler)"
        ) from error


def refine(
    image: np.ndarray, probabilities: np.ndarray, parameters: CrfParameters | None = None
) -> np.ndarray:
    """Returns the class probabilities after mean-field inference in the CRF of one image.

    The kernels are normalised symmetrically and evaluated on a permutohedral lattice,
    approximately.

    Args:
        image: RGB uint8 [H, W, 3].
        probabilities: the network's class probabilities, float [H, W, C], which sum to 1 over the
            classes.
        parameters: the pairwise terms; None takes the defaults.

    Returns:
        float32 [H, W, C], which sums to 1 over the classes.
    """
    from pydensecrf import densecrf

    parameters = parameters or CrfParameters()
    height, width, classes = probabilities.shape
    crf = densecrf.DenseCRF2D(width, height, classes)
    # A probability of 0 has no logarithm.
    unary = -np.log(np.maximum(probabilities, 1e-8), dtype=np.float32)
    crf.setUnaryEnergy(np.ascontiguousarray(unary.reshape(-1, classes).T))
    crf.addPairwiseGaussian(sxy=parameters.gaussian_xy, compat=parameters.gaussian_weight)
    crf.addPairwiseBilateral(
        sxy=parameters.bilateral_xy,
        srgb=parameters.bilateral_rgb,
        rgbim=np.array(image, order="C"),  # a copy: the library refuses a read-only array
        compat=parameters.bilateral_weight,
    )
    marginals = np.asarray(crf.inference(parameters.iterations), np.float32)
    return marginals.T.reshape(height, width, classes)
