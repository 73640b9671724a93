// Plain calls of elementwise losses: their operands, which may have to be spread, and what some take beside them.
#include "plain_elementwise.hpp"

#include <algorithm>

#include "plain_answers.hpp"

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
  int ndim = 0;  // of the shape that all are spread to
  const Py_ssize_t* shape = nullptr;
  Py_ssize_t joint[max_dims];
  bool differ = false;  // with a warning

  /// Finds the shape that input and target have together; false if there is none.
  [[nodiscard]] bool join_shapes() {
    const PlainArray& x = arrays[0];
    const PlainArray& y = arrays[1];
    ndim = std::max(x.ndim(), y.ndim());
    for (int d = 1; d <= ndim; ++d) {
      const std::int64_t one = d <= x.ndim() ? x.length(x.ndim() - d) : 1;
      const std::int64_t other = d <= y.ndim() ? y.length(y.ndim() - d) : 1;
      if (one != other && one != 1 && other != 1) {
        return false;
      }
      joint[ndim - d] = one == 1 ? other : one;
    }
    shape = joint;
    differ = true;
    return true;
  }

  /// Whether an operand may have another shape than the first.
  [[nodiscard]] bool may_spread(Spreads spreads, const PlainArray& operand) const {
    if (spreads != Spreads::along_one || operand.ndim() != ndim) {
      return spreads == Spreads::always || spreads == Spreads::with_warning;
    }
    int axes = 0;
    for (int d = 0; d < operand.ndim(); ++d) {
      axes += operand.length(d) != shape[d] ? 1 : 0;
    }
    return axes == 1;
  }

  /// Arrays of one shape, or that may be spread to one. False declines.
  [[nodiscard]] bool read_operands(const RegisteredLoss& loss, PyObject* const* args) {
    for (int k = 0; k < loss.operands; ++k) {
      if (!plain_array(args[k], arrays[k])) {
        return false;
      }
    }
    ndim = arrays[0].ndim();
    shape = arrays[0].shape();
    if (loss.spreads == Spreads::with_warning && !arrays[1].has_shape(ndim, shape) && !join_shapes()) {
      return false;
    }
    for (int k = 0; k < loss.operands; ++k) {
      const bool is_weight = k >= loss.operands - loss.class_weights;
      if (arrays[k].has_shape(ndim, shape)) {
        set_view(views[k], arrays[k]);
      } else if (!(is_weight || (options.spreads && may_spread(loss.spreads, arrays[k]))) ||
                 !spread_view(views[k], arrays[k], ndim, shape)) {
        return false;
      }
      call.operands[k] = &views[k];
    }
    return true;
  }

  /// What some losses take behind the options: a weight for each element and, if they are of labels, one that is to be ignored.
  /// The weight of these broadcasts. False declines.
  [[nodiscard]] bool read_rest(PyObject* const* args, Py_ssize_t count) {
    if (count > 0 && args[0] != Py_None) {
      if (!plain_array(args[0], options.weight) || !options.outs_apart_from(options.weight) ||
          (count == 1 && !(options.weight.has_shape(ndim, shape) && arrays[0].has_shape(ndim, shape))) ||
          !spread_view(weight, options.weight, ndim, shape)) {
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
  const int ndim = plain.ndim;
  if (by_batch) {
    const std::int64_t size = plain.arrays[0].size();
    if (size == 0 || ndim == 0) {
      return decline();
    }
    options.shared = size / plain.shape[0];
  }
  if (by_row && (ndim == 0 || plain.shape[ndim - 1] == 0)) {
    return decline();
  }
  const std::int64_t classes = by_row ? plain.shape[ndim - 1] : 1;
  const std::span<const PlainArray> arrays{plain.arrays, static_cast<std::size_t>(loss.operands)};
  const auto typed = arrays.first(static_cast<std::size_t>(loss.operands - loss.class_weights));
  PlainOperands operands(arrays, typed, loss.inputs, ndim - (by_row ? 1 : 0), plain.shape, options);
  operands.row_mean = by_row;
  if (plain.differ) {
    operands.spread_to(ndim, plain.shape);
  }
  if (!spread(options.sample_weight, operands, by_row, classes, plain.sample_weight, call.sample_weight) ||
      !spread(options.mask, operands, by_row, classes, plain.mask, call.mask)) {
    return decline();
  }
  call.compute = operands.compute;
  return answer<ElementwiseGradients>(call, operands, reduction, options);
}

}  // namespace ndloss::binding
