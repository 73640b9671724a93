/// What plain calls share: the options of a call that they understand, and their answers.
#pragma once

#include <cstdint>
#include <functional>
#include <numeric>
#include <optional>
#include <span>

#include "plain_arrays.hpp"
#include "plain_stream.hpp"

namespace ndloss::binding {

/// Elements from which on a call lets other Python threads run.
inline constexpr std::int64_t gil_worth = 1 << 14;

/// Py_None, and the Python path is to check, convert or raise; null after an error.
[[nodiscard]] inline PyObject* decline() { return PyErr_Occurred() != nullptr ? nullptr : Py_NewRef(Py_None); }

/// 'mean', 'sum' or 'none'; anything else declines.
[[nodiscard]] bool read_reduction(PyObject* object, Reduction& reduction);

/// 'batchmean'
[[nodiscard]] bool is_batch_mean(PyObject* object);

/// A Python int of 64 bits.
[[nodiscard]] bool read_integer(PyObject* object, std::int64_t& number);

/// A Python float or int.
[[nodiscard]] bool read_number(PyObject* object, double& number);

/// None, or the number of an axis of so many: `axis` is to hold that of None. False declines.
[[nodiscard]] bool read_axis(PyObject* object, int ndim, int& axis);

/// Which derivatives a call is asked for beside its value.
enum class Derivatives : std::uint8_t { none, gradient, both };

/// What a call is asked for by its options, none of which changes what is valid.
struct PlainOptions {
  Derivatives derivatives = Derivatives::none;
  PlainFeed feed;
  int arguments[max_operands] = {};  // that they are for
  int count = 0;
  bool several = false;  // they come in a tuple, even one alone
  int threads = 0;
  std::int64_t shared = 1;  // so many elements share one unit of the mean's divisor
  std::optional<double> grad_output;
  bool return_divisor = false;
  bool nan_of_nothing = true;  // else a mean of nothing is for the checks
  std::optional<DType> dtype;
  PyObject* out = nullptr;
  PlainArray sample_weight;  // without array: not given
  PlainArray mask;
  PlainArray weight;                   // no option of every loss, and so not in its dictionary
  std::span<const double> parameters;  // of an elementwise loss

  /// Whether it is a mean of nothing that is not NaN.
  [[nodiscard]] bool is_refused(const Accumulator& total, Reduction reduction) const {
    return !nan_of_nothing && reduction == Reduction::mean && total.count == 0;
  }
};

/// Reads the dictionary of a call's options; false for what a plain call does not understand.
[[nodiscard]] bool read_options(PyObject* dictionary, PlainOptions& options);

void bind_plain_call(py::module_& m);

/// The arrays of a call and what becomes of them.
struct PlainOperands {
  std::span<const PlainArray> arrays;  // every one that is read beside the options
  int differentiable;                  // so many of them have gradients
  int output_ndim;
  const Py_ssize_t* output_shape;
  int ndim;  // of all of them, spread to one shape: that of the first, if nothing else is said
  const Py_ssize_t* shape;
  std::int64_t size;
  bool differ = false;             // input and target did before: a warning says so
  DType dtype = DType::float32;    // of the result
  DType compute = DType::float32;  // in double where either end is double
  bool asked = false;              // gradients have that dtype too, for it is asked for

  PlainOperands(std::span<const PlainArray> read, std::span<const PlainArray> typed, int with_gradients, int ndim_of_output,
                const Py_ssize_t* shape_of_output, const PlainOptions& options)
      : arrays(read),
        differentiable(with_gradients),
        output_ndim(ndim_of_output),
        output_shape(shape_of_output),
        ndim(read.front().ndim()),
        shape(read.front().shape()),
        size(read.front().size()) {
    const DType natural = result_dtype(typed);
    dtype = options.dtype.value_or(natural);
    compute = natural == DType::float64 ? natural : dtype == DType::float64 ? dtype : DType::float32;
    asked = options.dtype.has_value();
  }

  /// Input and target had different shapes, and this one together.
  void spread_to(int dimensions, const Py_ssize_t* lengths) {
    ndim = dimensions;
    shape = lengths;
    size = std::accumulate(lengths, lengths + dimensions, std::int64_t{1}, std::multiplies<>());
    differ = true;
  }

  /// Whether it is not spread.
  [[nodiscard]] bool is_whole(int argument) const { return arrays[static_cast<std::size_t>(argument)].has_shape(ndim, shape); }

  /// Warns where that is due, once nothing else can make the checks do so again; false if the warning is an error.
  [[nodiscard]] bool warned() const;

  [[nodiscard]] DType gradient(int argument) const {
    return asked ? dtype : gradient_dtype(arrays[static_cast<std::size_t>(argument)], dtype);
  }
};

/// An option with numbers that broadcast to the loss elements: the view of it, spread over the rows where an element is a row.
/// False declines.
[[nodiscard]] bool spread(const PlainArray& option, const PlainOperands& operands, bool by_row, std::int64_t classes,
                          ArrayView& storage, const ArrayView*& view);

/// Where the derivatives for one operand go; false where the loss has none of that order.
template <class Gradients>
bool set_derivatives(Gradients& wanted, int argument, const Result& grad, const Output& hess) {
  if constexpr (requires { wanted.curvatures; }) {
    wanted.grads[argument] = grad.output();
    wanted.curvatures[argument] = hess;
    return true;
  } else if constexpr (requires { wanted.grads; }) {
    wanted.grads[argument] = {grad.output().data, grad.view()};
    return !hess.wanted();
  } else if (argument == 0) {
    wanted.input = grad.output();
    wanted.curvature = hess;
    return true;
  } else if constexpr (requires { wanted.target; }) {
    wanted.target = grad.output();
    return !hess.wanted();
  } else {
    return false;
  }
}

/// Writes the unreduced loss; false for numbers that the loss cannot take.
template <class Call>
bool mapped(const Call& call, const Output& losses) {
  if constexpr (requires { map(call, losses).bad; }) {
    return !map(call, losses).bad.found();
  } else if constexpr (requires { map(call, losses).found(); }) {
    return !map(call, losses).found();
  } else {
    map(call, losses);
    return true;
  }
}

/// Runs the body, without the GIL where it is worth it; false if it declines or, with an error set, fails.
template <class Body>
bool run_plain(const Body& body, std::int64_t work) {
  try {
    return work >= gil_worth ? without_gil(body) : body();
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return false;
}

/// A tuple of two new references, either of which may be null after an error.
[[nodiscard]] PyObject* pair_of(PyObject* first, PyObject* second);

/// The derivatives of a call, in a tuple where several are asked for.
[[nodiscard]] PyObject* released(Result* derivatives, const PlainOptions& options);

/// The value of a call.
template <class Call>
PyObject* plain_value(Call& call, const PlainOperands& operands, Reduction reduction, const PlainOptions& options) {
  if (reduction == Reduction::none) {
    Result losses;
    if (operands.output_ndim == 0 || options.return_divisor ||
        !losses.make(options.out, operands.dtype, operands.output_ndim, operands.output_shape, operands.arrays) ||
        !run_plain([&] { return mapped(call, losses.output()); }, operands.size)) {
      return decline();
    }
    return operands.warned() ? losses.release() : nullptr;
  }
  Accumulator total;
  const auto body = [&] {
    total = accumulate(call);
    total.share_divisor(options.shared);
    return !total.bad.found();
  };
  if (options.out != nullptr || !run_plain(body, operands.size) || options.is_refused(total, reduction)) {
    return decline();
  }
  if (!operands.warned()) {
    return nullptr;
  }
  PyObject* value = scalar(total.compute(reduction), operands.dtype);
  return options.return_divisor ? pair_of(value, scalar(total.divisor(), DType::float64)) : value;
}

/// (value, gradients), or (gradients, second derivatives).
template <class Gradients, class Call>
PyObject* plain_derivatives(Call& call, const PlainOperands& operands, Reduction reduction, const PlainOptions& options) {
  const bool hessian = options.derivatives == Derivatives::both;
  const bool unreduced = reduction == Reduction::none && !hessian;
  Result grads[max_operands];
  Result curvatures[max_operands];
  Result losses;
  Gradients wanted;
  if (operands.ndim == 0 || options.return_divisor || (unreduced && (operands.output_ndim == 0 || options.grad_output)) ||
      (options.out != nullptr && (hessian || options.several))) {
    return decline();
  }
  for (int k = 0; k < options.count; ++k) {
    const int argument = options.arguments[k];
    if (argument >= operands.differentiable || !operands.is_whole(argument)) {
      return decline();
    }
    const DType dtype = operands.gradient(argument);
    if (!grads[k].make(options.out, dtype, operands.ndim, operands.shape, operands.arrays) ||
        (hessian && !curvatures[k].make(nullptr, dtype, operands.ndim, operands.shape, operands.arrays)) ||
        !set_derivatives(wanted, argument, grads[k], curvatures[k].output())) {
      return decline();
    }
  }
  if (unreduced) {
    if (!losses.make(nullptr, operands.dtype, operands.output_ndim, operands.output_shape, operands.arrays)) {
      return decline();
    }
    wanted.value = losses.output();
  }
  Accumulator total;
  const auto body = [&] {
    wanted.scale = options.grad_output.value_or(1) * static_cast<double>(reduction == Reduction::mean ? options.shared : 1);
    wanted.scale *= gradient_scale(call, reduction == Reduction::mean ? Reduction::mean : Reduction::sum);
    total = gradients(call, wanted);
    total.share_divisor(options.shared);
    return !total.bad.found();
  };
  if (!run_plain(body, operands.size) || options.is_refused(total, reduction)) {
    return decline();
  }
  if (!operands.warned()) {
    return nullptr;
  }
  PyObject* derivatives = released(grads, options);
  if (hessian) {
    return pair_of(derivatives, released(curvatures, options));
  }
  return pair_of(unreduced ? losses.release() : scalar(total.compute(reduction), operands.dtype), derivatives);
}

/// Whether elements count differently.
template <class Call>
bool selects(const Call& call) {
  if constexpr (requires { call.ignores; }) {
    return call.sample_weight != nullptr || call.mask != nullptr || call.ignores;
  } else if constexpr (requires { call.selects(); }) {
    return call.selects();
  } else {
    return false;
  }
}

/// Adds a call to a stream, as `Stream.feed` does. What it returns is no value.
template <class Call>
PyObject* plain_fed(Call& call, const PlainOperands& operands, const PlainOptions& options) {
  StreamSums& sums = *options.feed.sums;
  const std::int64_t size = operands.size;
  if (size == 0 || options.out != nullptr || options.return_divisor) {
    return decline();
  }
  if (selects(call)) {
    Accumulator total;
    const auto body = [&] {
      total = accumulate(call);
      total.share_divisor(options.shared);
      return !total.bad.found();
    };
    if (item_size(operands.dtype) > sums.item_size || !run_plain(body, size)) {
      return decline();
    }
    if (!operands.warned()) {
      return nullptr;
    }
    sums.done += total;
    return Py_NewRef(Py_True);
  }
  if constexpr (requires(StreamedArrays& arrays, std::string& key) { find_streamed(call, arrays, key); }) {
    StreamedArrays arrays;
    std::string key;
    find_streamed(call, arrays, key);
    add_to_key(key, call.compute, operands.dtype, options.threads, options.shared);
    key.append(reinterpret_cast<const char*>(options.parameters.data()), options.parameters.size_bytes());
    if (key != sums.key) {
      options.feed.offer(key);
      return decline();
    }
    Accumulator total = sums.total;
    std::int64_t filled = sums.filled;
    if (!arrays.find_rooms(sums.rooms) || !run_plain([&] { return feed_blocks(call, arrays, total, filled); }, size)) {
      return decline();
    }
    if (!operands.warned()) {
      return nullptr;
    }
    sums.total = total;
    sums.filled = filled;
    return Py_NewRef(Py_True);
  }
  return decline();
}

/// What a call is asked for.
template <class Gradients, class Call>
PyObject* answer(Call& call, const PlainOperands& operands, Reduction reduction, const PlainOptions& options) {
  call.threads = options.threads;
  call.interrupt = operands.size >= gil_worth ? signals() : Interrupt{};
  if (options.feed.wanted()) {
    return plain_fed(call, operands, options);
  }
  if (options.derivatives == Derivatives::none) {
    return plain_value(call, operands, reduction, options);
  }
  return plain_derivatives<Gradients>(call, operands, reduction, options);
}

}  // namespace ndloss::binding
