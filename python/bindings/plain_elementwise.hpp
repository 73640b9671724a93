/// Plain calls of elementwise losses.
#pragma once

#include "plain_call.hpp"
#include "registered.hpp"

namespace ndloss::binding {

/// name(operand, ..., reduction, parameter, ..., options[, weight[, ignore_index]])
[[nodiscard]] PyObject* answer_elementwise(const RegisteredLoss& loss, PyObject* const* args, Py_ssize_t nargs);

}  // namespace ndloss::binding
