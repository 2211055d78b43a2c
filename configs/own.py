"""Any prepared data set, by its name: your own folder, COCO, and so on.

    deeplab-prepare --dataset=folder --source=DIR --data_dir=data
    deeplab-train --config=configs/own.py:resnet50 --config.data.dataset=NAME --data_dir=data \\
        --workdir=runs/NAME --config.init_from=imagenet-resnet50

The classes with their names and colours come from the data set. `resnet50` is a schedule for
fine-tuning on hundreds to thousands of images, and needs a GPU and weights to begin with
(`init_from`); `slim` is small enough to be trained from scratch on a CPU, as in configs/camvid.py;
`mobilenet_v2` is fine-tuned on a CPU, with `--config.init_from=imagenet-mobilenet-v2`.

While it trains, a run is evaluated on at most 200 images of the split `val`, where there is one.
The images are shown whole, so the share of the run that this takes grows with their size: by the
count of pixels in docs/training.md, 200 images take 10 % of a run at 0.27 megapixels each with
`slim` and at 1.4 with `resnet50`, and at 12 megapixels 83 % and 49 %.
`--config.train.evaluate_images`, `--config.train.evaluate_every` and
`--config.evaluate.working_size` make it less.
"""

import dataclasses

from deeplab_tf.config import load_experiment

EXPERIMENTS = {
    row: dataclasses.replace(
        experiment,
        data=dataclasses.replace(experiment.data, dataset="own"),
        train=dataclasses.replace(experiment.train, evaluate_images=200),
        row=None,
    )
    for row in ("resnet50", "mobilenet_v2", "slim")
    for experiment in [load_experiment(f"configs/camvid.py:{row}")]
}
