// Plain calls of elementwise losses: their operands, which may have to be spread, and what some take beside them.
#include "plain_elementwise.hpp"

namespace ndloss::binding {
namespace {

/// An elementwise call on its way: its arrays and their views.
struct PlainElementwise {
  ElementwiseCall call{};
  PlainOptions options;
  PlainArray arrays[max_operands];
  ArrayView views[max_operands];
  ArrayView weight;
  ArrayView sample_weight;
  ArrayView mask;

  /// Whether an operand may have another shape than the first.
  [[nodiscard]] bool may_spread(Spreads spreads, const PlainArray& operand) const {
    if (spreads != Spreads::along_one || operand.ndim() != arrays[0].ndim()) {
      return spreads == Spreads::always;
    }
    int axes = 0;
    for (int d = 0; d < operand.ndim(); ++d) {
      axes += operand.length(d) != arrays[0].length(d) ? 1 : 0;
    }
    return axes == 1;
  }

  /// Arrays of one shape, or that may be spread to that of the first. False declines.
  [[nodiscard]] bool read_operands(const RegisteredLoss& loss, PyObject* const* args) {
    const PlainArray& first = arrays[0];
    for (int k = 0; k < loss.operands; ++k) {
      if (!plain_array(args[k], arrays[k])) {
        return false;
      }
      const bool is_weight = k >= loss.operands - loss.class_weights;
      if (arrays[k].has_shape(first.ndim(), first.shape())) {
        set_view(views[k], arrays[k]);
      } else if (!(is_weight || may_spread(loss.spreads, arrays[k])) ||
                 !spread_view(views[k], arrays[k], first.ndim(), first.shape())) {
        return false;
      }
      call.operands[k] = &views[k];
    }
    return true;
  }

  /// What some losses take behind the options: a weight for each element and, if they are of labels, one that is to be ignored.
  /// The weight of these broadcasts. False declines.
  [[nodiscard]] bool read_rest(PyObject* const* args, Py_ssize_t count) {
    const PlainArray& first = arrays[0];
    if (count > 0 && args[0] != Py_None) {
      if (options.out != nullptr || !plain_array(args[0], options.weight) ||
          (count == 1 && !options.weight.has_shape(first.ndim(), first.shape())) ||
          !spread_view(weight, options.weight, first.ndim(), first.shape())) {
        return false;
      }
      call.weight = &weight;
    }
    if (count > 1 && args[1] != Py_None) {
      call.ignores = read_number(args[1], call.ignore_value) && call.ignore_value == call.ignore_value;
      return call.ignores;
    }
    return true;
  }
};

}  // namespace

PyObject* answer_elementwise(const RegisteredLoss& loss, PyObject* const* args, Py_ssize_t nargs) {
  PlainElementwise plain;
  ElementwiseCall& call = plain.call;
  PlainOptions& options = plain.options;
  Reduction reduction{};
  const Py_ssize_t at_options = loss.operands + 1 + loss.parameters;
  if (nargs <= at_options || nargs > at_options + 3 || !read_options(args[at_options], options)) {
    return decline();
  }
  const bool by_batch = loss.batch_mean && is_batch_mean(args[loss.operands]);
  if (by_batch) {
    reduction = Reduction::mean;
  } else if (!read_reduction(args[loss.operands], reduction)) {
    return decline();
  }
  if (!plain.read_operands(loss, args) || !plain.read_rest(args + at_options + 1, nargs - at_options - 1)) {
    return decline();
  }
  double values[8] = {};
  for (int p = 0; p < loss.parameters; ++p) {
    PyObject* value = args[loss.operands + 1 + p];
    if (!PyFloat_CheckExact(value)) {
      return decline();
    }
    values[p] = PyFloat_AS_DOUBLE(value);
  }
  options.parameters = {values, static_cast<std::size_t>(loss.parameters)};
  AnyLoss any;
  loss.make(any, values);
  call.loss = any.erased;
  const bool by_row = any.erased.row_mean;
  const PlainArray& first = plain.arrays[0];
  const int ndim = first.ndim();
  if (by_batch) {
    const std::int64_t size = first.size();
    if (size == 0 || ndim == 0) {
      return decline();
    }
    options.shared = size / first.length(0);
  }
  if (by_row && (ndim == 0 || first.length(ndim - 1) == 0)) {
    return decline();
  }
  const std::int64_t classes = by_row ? first.length(ndim - 1) : 1;
  const std::span<const PlainArray> arrays{plain.arrays, static_cast<std::size_t>(loss.operands)};
  const auto typed = arrays.first(static_cast<std::size_t>(loss.operands - loss.class_weights));
  const PlainOperands operands(arrays, typed, loss.inputs, ndim - (by_row ? 1 : 0), first.shape(), options);
  if (!spread(options.sample_weight, operands, by_row, classes, plain.sample_weight, call.sample_weight) ||
      !spread(options.mask, operands, by_row, classes, plain.mask, call.mask)) {
    return decline();
  }
  call.compute = operands.compute;
  return answer<ElementwiseGradients>(call, operands, reduction, options);
}

}  // namespace ndloss::binding
