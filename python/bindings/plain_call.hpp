/// What plain calls share: the options of a call that they understand, and what becomes of its arrays.
#pragma once

#include <cstdint>
#include <functional>
#include <numeric>
#include <optional>
#include <span>

#include "plain_arrays.hpp"
#include "stream_sums.hpp"

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
  PyObject* outs[2 * max_operands] = {};  // the unreduced loss's, or those of gradients, then of second derivatives; null: new
  PlainArray sample_weight;               // without array: not given
  PlainArray mask;
  PlainArray upstream;                 // an array of what multiplies each gradient
  bool spreads = true;                 // else every operand is to have the full shape
  PlainArray weight;                   // no option of every loss, and so not in its dictionary
  std::span<const double> parameters;  // of an elementwise loss

  /// Whether every out can be written while an array is read.
  [[nodiscard]] bool outs_apart_from(const PlainArray& array) const;

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
  bool row_mean = false;           // a loss element is the mean of a row
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

}  // namespace ndloss::binding
