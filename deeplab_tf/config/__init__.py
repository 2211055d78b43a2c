"""Experiments: `schema` defines their fields, `validation` their rules, `rows` finds one by name,
and `differences` compares two."""

from deeplab_tf.config.differences import FREE, training_differences
from deeplab_tf.config.rows import load_experiment, load_rows
from deeplab_tf.config.schema import (
    Backbone,
    BatchNormMode,
    DataConfig,
    EvaluateConfig,
    Experiment,
    Head,
    Keep,
    Loss,
    ModelConfig,
    Normalization,
    Precision,
    StrategyName,
    StridePlacement,
    TrainConfig,
    Upsampling,
)
from deeplab_tf.config.validation import OUTPUT_STRIDES, from_json, to_json, validate

__all__ = [
    "FREE",
    "OUTPUT_STRIDES",
    "Backbone",
    "BatchNormMode",
    "DataConfig",
    "EvaluateConfig",
    "Experiment",
    "Head",
    "Keep",
    "Loss",
    "ModelConfig",
    "Normalization",
    "Precision",
    "StrategyName",
    "StridePlacement",
    "TrainConfig",
    "Upsampling",
    "from_json",
    "load_experiment",
    "load_rows",
    "to_json",
    "training_differences",
    "validate",
]
