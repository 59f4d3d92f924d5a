"""Rules for recurrent layers: the walk and the exact decomposition, through the unrolled time steps.

Importing this package registers its rules with :mod:`gazeback.cnn_trace`.
"""

from gazeback.lstm_trace import attention as attention
from gazeback.lstm_trace import rules as rules
from gazeback.lstm_trace import steps as steps
from gazeback.lstm_trace.cells import GRUCell, LSTMCell
from gazeback.lstm_trace.unroll import Unrolled, unroll

__all__ = ["GRUCell", "LSTMCell", "Unrolled", "unroll"]
