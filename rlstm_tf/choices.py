"""Values that options take by name, and their largest numbers, listed once for all.

Imports nothing, so that a command can list its choices without loading TensorFlow.
"""

from __future__ import annotations

MODELS = ("two_branch", "rlstm", "local", "tsn", "lstm", "convlstm", "transformer")
# Networks with a Relational LSTM, and with any recurrent layer.
RELATIONAL = ("two_branch", "rlstm")
RECURRENT = (*RELATIONAL, "lstm", "convlstm")
BACKBONES = (
    *("densenet121", "efficientnet_b0"),
    *("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"),
    *("inception_v3", "mobilenet", "mobilenet_v2"),
    *("resnet50", "resnet101", "resnet50v2", "resnet101v2", "resnet152v2"),
    *("tiny_resnetv2", "vgg16", "vgg19"),
)
# f(x_i, y_j) of the Relational LSTM (eq. 2). Without "gaussian", exp(x^T y), which has no
# embeddings: X_t and H_{t-1} differ in channels.
PAIRWISE = ("embedded_gaussian", "dot_product", "concatenation")
LSTM_CELLS = ("standard", "layer_norm", "peephole")
# Statistics that batch normalization uses in training.
STATISTICS = ("population", "batch", "frozen")

STREAMS = ("spatial", "temporal")
SUBSETS = ("train", "val", "test")
AUGMENT_ON = ("host", "device")
SAMPLINGS = ("uniform", "balanced")
CLASS_WEIGHTS = ("none", "balanced")
# Crops and flips whose maps are cached (`rlstm_tf.cached_maps.plan`).
CACHE_VIEWS = ("center", "corners", "scales", "mirrored")

STRATEGIES = ("auto", "none", "mirrored", "multi_worker")
SCHEDULES = ("steps", "cosine")
OPTIMIZERS = ("sgd", "sgdw", "adamw", "lamb")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
EXPORT_FORMATS = ("savedmodel", "litert", "onnx")
# How weights of a LiteRT file are stored: float32, float16, or int8 where that saves most.
QUANTIZATIONS = ("none", "float16", "dynamic")

# Largest numbers that a flag, a run's flags.cfg, a manifest or a model.json may give: far above any
# use. Memory is asked for by them.
MAX_SEGMENTS = 1024
MAX_WINDOW = 64  # snippets of a stream; each is a part of the graph
MAX_SIDE = 8192  # pixels
MAX_FIELDS = 64  # of a snippet
MAX_UNITS = 4096
MAX_BATCH = 65_536
MAX_VIDEO_BYTES = 1 << 28  # of the frames of one view of a video
# Of a frame: twice those of 8K.
MAX_PIXELS = 1 << 26
