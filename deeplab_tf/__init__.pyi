"""The public names of `deeplab_tf`; `__init__.py` imports each from its place here on first use."""

from .artefacts.trained_model import TrainedModel as TrainedModel
from .artefacts.trained_model import save_model as save_model
from .config import Backbone as Backbone
from .config import BatchNormMode as BatchNormMode
from .config import DataConfig as DataConfig
from .config import EvaluateConfig as EvaluateConfig
from .config import Experiment as Experiment
from .config import Fit as Fit
from .config import Head as Head
from .config import Keep as Keep
from .config import Loss as Loss
from .config import ModelConfig as ModelConfig
from .config import Normalization as Normalization
from .config import OptimizerName as OptimizerName
from .config import Precision as Precision
from .config import ScheduleName as ScheduleName
from .config import StrategyName as StrategyName
from .config import StridePlacement as StridePlacement
from .config import TrainConfig as TrainConfig
from .config import Upsampling as Upsampling
from .config import load_experiment as load_experiment
from .config.image_format import ImageFormat as ImageFormat
from .data.prepare import prepare as prepare
from .errors import DeeplabError as DeeplabError
from .evaluation.evaluate import evaluate as evaluate
from .export.export_model import export_model as export_model  # pyright: ignore[reportMissingImports]
from .images.classes import Classes as Classes
from .inference.segmenter import Segmenter as Segmenter
from .inference.segmenter import load as load
from .models.conv import AtrousConv2D as AtrousConv2D
from .models.deeplab import build_model as build_model
from .named.load import load_model as load_model
from .training.stages import train as train
