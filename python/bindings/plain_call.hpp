/// What plain calls share: which arrays they take, the options of a call that they understand, and their answers.
#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include "arrays.hpp"

namespace ndloss::binding {

/// Elements from which on a call lets other Python threads run.
inline constexpr std::int64_t gil_worth = 1 << 14;

/// A native, aligned, C-contiguous array of exactly numpy.ndarray.
struct PlainArray {
  const py::detail::PyArray_Proxy* array = nullptr;
  DType dtype = DType::float32;

  [[nodiscard]] int ndim() const { return array->nd; }
  [[nodiscard]] std::int64_t length(int axis) const { return array->dimensions[axis]; }
  [[nodiscard]] bool is_float() const { return dtype == DType::float32 || dtype == DType::float64; }
  [[nodiscard]] bool is_index() const { return !is_float() && dtype != DType::boolean; }

  [[nodiscard]] std::int64_t size() const {
    std::int64_t n = 1;
    for (int d = 0; d < array->nd; ++d) {
      n *= array->dimensions[d];
    }
    return n;
  }
};

/// Float32, float64, bool, uint8 and integers of 4 and 8 bytes; anything else declines.
[[nodiscard]] bool plain_array(PyObject* object, PlainArray& out);

[[nodiscard]] bool same_shape(const PlainArray& a, const PlainArray& b);

/// The view of an array as it is.
void set_view(ArrayView& view, const PlainArray& array);

/// The view of an array as rows, or as one dimension.
void set_view(ArrayView& view, const PlainArray& array, int ndim, std::int64_t rows, std::int64_t classes);

/// Py_None: the Python path is to check, convert or raise.
[[nodiscard]] inline PyObject* decline() { Py_RETURN_NONE; }

/// 'mean', 'sum' or 'none'; anything else declines.
[[nodiscard]] bool read_reduction(PyObject* object, Reduction& reduction);

/// 'batchmean'
[[nodiscard]] bool is_batch_mean(PyObject* object);

/// A Python int of 64 bits.
[[nodiscard]] bool read_integer(PyObject* object, std::int64_t& number);

/// A Python float or int.
[[nodiscard]] bool read_number(PyObject* object, double& number);

/// None, or the number of the last axis, which is where a plain call has its classes or features.
[[nodiscard]] bool is_last_axis(PyObject* object, int ndim);

/// Which derivatives a call is asked for beside its value.
enum class Derivatives : std::uint8_t { none, gradient, both };

/// What a call is asked for by its options, none of which changes what is valid.
struct PlainOptions {
  Derivatives derivatives = Derivatives::none;
  int arguments[max_operands] = {};  // that they are for
  int count = 0;
  bool several = false;  // they come in a tuple, even one alone
  int threads = 0;
  std::int64_t shared = 1;  // so many elements share one unit of the mean's divisor
  PyObject* out = nullptr;
  PlainArray sample_weight;  // without array: not given
  PlainArray mask;
};

/// Reads the dictionary of a call's options; false for what a plain call does not understand.
[[nodiscard]] bool read_options(PyObject* dictionary, PlainOptions& options);

/// A result on its way out: a new array, or the one that was given.
class Result {
 public:
  Result() = default;
  ~Result() { Py_XDECREF(array_); }
  Result(const Result&) = delete;
  Result& operator=(const Result&) = delete;

  /// Takes `given`, if that is not null and can be written while `operands` are read, or makes an array. False declines, or has
  /// set an error.
  [[nodiscard]] bool make(PyObject* given, DType dtype, int ndim, const Py_ssize_t* shape,
                          std::span<const PlainArray> operands);

  [[nodiscard]] Output output() const { return output_; }
  [[nodiscard]] PyObject* release() { return std::exchange(array_, nullptr); }

 private:
  PyObject* array_ = nullptr;
  Output output_;
};

void bind_plain_call(py::module_& m);

/// A NumPy scalar, rounded once, without a warning where it overflows.
[[nodiscard]] PyObject* scalar(double value, DType dtype);

/// The arrays of a call. Gradients have the dtype and the shape of the first; so has the unreduced loss, but for its shape.
struct PlainOperands {
  std::span<const PlainArray> arrays;  // every one that is read beside the options
  int differentiable;                  // so many of them have gradients
  int output_ndim;
  const Py_ssize_t* output_shape;

  [[nodiscard]] const PlainArray& first() const { return arrays.front(); }
};

/// Where the derivatives for one operand go; false where the loss has none of that order.
template <class Gradients>
bool set_derivatives(Gradients& wanted, int argument, const Output& grad, const Output& hess, const ArrayView& layout) {
  if constexpr (requires { wanted.curvatures; }) {
    wanted.grads[argument] = grad;
    wanted.curvatures[argument] = hess;
    return true;
  } else if constexpr (requires { wanted.curvature; }) {
    wanted.input = grad;
    wanted.curvature = hess;
    return true;
  } else {
    wanted.grads[argument] = {grad.data, layout};
    return !hess.wanted();
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

/// None after something that declined, null after an error.
[[nodiscard]] inline PyObject* declined() { return PyErr_Occurred() != nullptr ? nullptr : decline(); }

/// A tuple of two new references, either of which may be null after an error.
[[nodiscard]] PyObject* pair_of(PyObject* first, PyObject* second);

/// The derivatives of a call, in a tuple where several are asked for.
[[nodiscard]] PyObject* released(Result* derivatives, const PlainOptions& options);

/// The value of a call.
template <class Call>
PyObject* plain_value(Call& call, const PlainOperands& operands, Reduction reduction, const PlainOptions& options) {
  const PlainArray& first = operands.first();
  if (reduction == Reduction::none) {
    Result losses;
    if (operands.output_ndim == 0 ||
        !losses.make(options.out, first.dtype, operands.output_ndim, operands.output_shape, operands.arrays) ||
        !run_plain([&] { return mapped(call, losses.output()); }, first.size())) {
      return declined();
    }
    return losses.release();
  }
  Accumulator total;
  const auto body = [&] {
    total = accumulate(call);
    total.share_divisor(options.shared);
    return !total.bad.found();
  };
  if (options.out != nullptr || !run_plain(body, first.size())) {
    return declined();
  }
  return scalar(total.compute(reduction), first.dtype);
}

/// (value, gradients), or (gradients, second derivatives).
template <class Gradients, class Call>
PyObject* plain_derivatives(Call& call, const PlainOperands& operands, Reduction reduction, const PlainOptions& options,
                            const ArrayView& layout) {
  const PlainArray& first = operands.first();
  const bool hessian = options.derivatives == Derivatives::both;
  const bool unreduced = reduction == Reduction::none && !hessian;
  const auto* shape = first.array->dimensions;
  Result grads[max_operands];
  Result curvatures[max_operands];
  Result losses;
  Gradients wanted;
  if (first.ndim() == 0 || (unreduced && operands.output_ndim == 0) ||
      (options.out != nullptr && (hessian || options.several))) {
    return decline();
  }
  for (int k = 0; k < options.count; ++k) {
    const int argument = options.arguments[k];
    if (argument >= operands.differentiable || !grads[k].make(options.out, first.dtype, first.ndim(), shape, operands.arrays) ||
        (hessian && !curvatures[k].make(nullptr, first.dtype, first.ndim(), shape, operands.arrays)) ||
        !set_derivatives(wanted, argument, grads[k].output(), curvatures[k].output(), layout)) {
      return declined();
    }
  }
  if (unreduced) {
    if (!losses.make(nullptr, first.dtype, operands.output_ndim, operands.output_shape, operands.arrays)) {
      return declined();
    }
    wanted.value = losses.output();
  }
  Accumulator total;
  const auto body = [&] {
    wanted.scale = gradient_scale(call, reduction == Reduction::mean ? Reduction::mean : Reduction::sum);
    wanted.scale *= static_cast<double>(options.shared);
    total = gradients(call, wanted);
    total.share_divisor(options.shared);
    return !total.bad.found();
  };
  if (!run_plain(body, first.size())) {
    return declined();
  }
  PyObject* derivatives = released(grads, options);
  if (hessian) {
    return pair_of(derivatives, released(curvatures, options));
  }
  return pair_of(unreduced ? losses.release() : scalar(total.compute(reduction), first.dtype), derivatives);
}

/// What a call is asked for. `layout` is that of the gradients.
template <class Gradients, class Call>
PyObject* answer(Call& call, const PlainOperands& operands, Reduction reduction, const PlainOptions& options,
                 const ArrayView& layout) {
  call.threads = options.threads;
  call.interrupt = operands.first().size() >= gil_worth ? signals() : Interrupt{};
  if (options.derivatives == Derivatives::none) {
    return plain_value(call, operands, reduction, options);
  }
  return plain_derivatives<Gradients>(call, operands, reduction, options, layout);
}

}  // namespace ndloss::binding
