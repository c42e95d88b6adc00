"""The step of an optimizer, on contiguous arrays of any shape, in one pass through memory.

Elements have nothing to do with each other, so neither pieces nor threads change a bit.  A step is
not interrupted: weights of which some were changed would be of no use.
"""

cimport numpy as cnp

from fastconv._core.conv cimport kernels_of
from fastconv._core.problem cimport ceil_div, smaller
from fastconv._core.runtime cimport FC_ADAM, FC_RMSPROP, FC_SGD
from fastconv._core.runtime cimport fc_kernels, fc_step, fc_weights, parallel_for_all

cnp.import_array()

cdef enum:
    PIECE = 1 << 15         # elements of one task

RULES = {"sgd": FC_SGD, "rmsprop": FC_RMSPROP, "adam": FC_ADAM}


cdef struct Update:
    const fc_kernels *kernels
    int rule
    fc_weights arrays
    fc_step step
    Py_ssize_t count


cdef inline void *moved(const void *array, Py_ssize_t bytes) noexcept nogil:
    return NULL if array == NULL else <char *> array + bytes


cdef void update_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Update *s = <const Update *> context
    cdef Py_ssize_t at = task * PIECE * s.kernels.itemsize
    cdef fc_weights piece
    piece.w, piece.g = moved(s.arrays.w, at), moved(s.arrays.g, at)
    piece.momentum, piece.velocity = moved(s.arrays.momentum, at), moved(s.arrays.velocity, at)
    piece.average_gradient = moved(s.arrays.average_gradient, at)
    piece.velocity_hat = moved(s.arrays.velocity_hat, at)
    s.kernels.update[s.rule](&piece, smaller(PIECE, s.count - task * PIECE), &s.step)


cdef void *slot_of(dict slots, str name):
    cdef cnp.ndarray slot = slots.get(name)
    return NULL if slot is None else cnp.PyArray_DATA(slot)


def update(object step, cnp.ndarray w, cnp.ndarray g, dict slots, double factor, int threads):
    """Change w, and the slots by their names, by a step with the gradient factor * g."""
    cdef Update s
    s.kernels, s.rule, s.count = kernels_of(w), RULES[step.rule], cnp.PyArray_SIZE(w)
    s.arrays.w, s.arrays.g = cnp.PyArray_DATA(w), cnp.PyArray_DATA(g)
    s.arrays.momentum, s.arrays.velocity = slot_of(slots, "momentum"), slot_of(slots, "velocity")
    s.arrays.average_gradient = slot_of(slots, "average_gradient")
    s.arrays.velocity_hat = slot_of(slots, "velocity_hat")
    s.step.factor, s.step.clip, s.step.decay = factor, step.clip, step.decay
    s.step.rate, s.step.momentum, s.step.nesterov = step.rate, step.momentum, step.nesterov
    s.step.rho, s.step.epsilon = step.rho, step.epsilon
    s.step.beta_1, s.step.beta_2 = step.beta_1, step.beta_2
    with nogil:
        parallel_for_all(update_task, &s, ceil_div(s.count, PIECE), threads, 0)
