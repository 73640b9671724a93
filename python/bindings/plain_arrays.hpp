/// Arrays as plain calls take them, of any layout and any type that the core reads, and what these calls answer with.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "arrays.hpp"

namespace ndloss::binding {

/// An array of exactly numpy.ndarray, or what another array or a list was read as.
struct PlainArray {
  const py::detail::PyArray_Proxy* array = nullptr;
  DType dtype = DType::float32;
  bool swapped = false;
  bool weak = false;  // its dtype has no say in that of the result
  py::object owner;   // where it was made for this call

  [[nodiscard]] int ndim() const { return array->nd; }
  [[nodiscard]] std::int64_t length(int axis) const { return array->dimensions[axis]; }
  [[nodiscard]] const Py_ssize_t* shape() const { return array->dimensions; }
  [[nodiscard]] bool has_shape(int ndim, const Py_ssize_t* shape) const;
  [[nodiscard]] std::int64_t size() const;
  [[nodiscard]] bool is_float() const { return !is_integer(dtype); }
  [[nodiscard]] bool is_index() const { return is_integer(dtype) && dtype != DType::boolean; }

  /// Whether its elements stand side by side, aligned, in this machine's byte order.
  [[nodiscard]] bool in_place() const;
};

/// An ndarray; declines what the core does not read.
[[nodiscard]] bool plain_ndarray(PyObject* object, PlainArray& out);

/// The same of an array of another package or a list, by `_array.as_array`.
[[nodiscard]] bool plain_array(PyObject* object, PlainArray& out);

/// Whether it is this str.
[[nodiscard]] bool is_text(PyObject* object, const char* text);

/// The type of results for these arguments, as `_array.py` has it: the widest floating one, float32 where none is.
[[nodiscard]] DType result_dtype(std::span<const PlainArray> arrays);

/// The type of the gradient for one of them: its own, or the result's if it has none that can be written.
[[nodiscard]] DType gradient_dtype(const PlainArray& array, DType result);

/// One of NumPy's own floating types, as a class, as a dtype or by name. False declines.
[[nodiscard]] bool read_dtype(PyObject* object, std::optional<DType>& dtype);

/// Whether it is a scalar of one of those types.
[[nodiscard]] bool is_scalar(PyObject* object);

/// Whether results can go to an array while another is read: neither may be given. False declines.
[[nodiscard]] bool stands_apart(PyObject* out, const PlainArray& other);

/// The view of an array as it is.
void set_view(ArrayView& view, const PlainArray& array);

/// The view of an array spread to a shape by NumPy's rule; false where it does not broadcast to that.
[[nodiscard]] bool spread_view(ArrayView& view, const PlainArray& array, int ndim, const Py_ssize_t* shape);

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
  [[nodiscard]] ArrayView view() const;
  [[nodiscard]] PyObject* release() { return std::exchange(array_, nullptr); }

 private:
  PyObject* array_ = nullptr;
  Output output_;
};

/// A NumPy scalar, rounded once, without a warning where it overflows.
[[nodiscard]] PyObject* scalar(double value, DType dtype);

void bind_plain_arrays(py::module_& m);

}  // namespace ndloss::binding
