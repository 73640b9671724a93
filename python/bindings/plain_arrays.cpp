// Arrays and scalars of plain calls: see the header.
#include "plain_arrays.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>

#include "result_memory.hpp"

namespace ndloss::binding {
namespace {

using Api = py::detail::npy_api;

constexpr int number_of_half = 23;      // NPY_HALF
constexpr int first_user_number = 256;  // NPY_USERDEF

/// The types of NumPy's own numbers, by these.
PyObject* float16_type = nullptr;
PyObject* float32_type = nullptr;
PyObject* float64_type = nullptr;

/// What reads arrays of other packages: `_array.as_array`.
PyObject* as_array = nullptr;

bool is_ndarray(PyObject* object) {
  return reinterpret_cast<PyObject*>(Py_TYPE(object)) == reinterpret_cast<PyObject*>(Api::get().PyArray_Type_);
}

/// NumPy's number of bfloat16, once an array of it has been seen.
int number_of_bfloat16 = 0;

template <std::size_t bytes>
constexpr DType integer_of(bool is_signed) {
  static_assert(bytes == 4 || bytes == 8);
  return bytes == 8 ? (is_signed ? DType::int64 : DType::uint64) : (is_signed ? DType::int32 : DType::uint32);
}

/// NumPy's own types that the core reads.
std::optional<DType> native_dtype(int number) {
  switch (number) {
    case Api::NPY_BOOL_:
      return DType::boolean;
    case Api::NPY_BYTE_:
      return DType::int8;
    case Api::NPY_UBYTE_:
      return DType::uint8;
    case Api::NPY_SHORT_:
      return DType::int16;
    case Api::NPY_USHORT_:
      return DType::uint16;
    case Api::NPY_INT_:
      return DType::int32;
    case Api::NPY_UINT_:
      return DType::uint32;
    case Api::NPY_LONG_:
      return integer_of<sizeof(long)>(true);
    case Api::NPY_ULONG_:
      return integer_of<sizeof(long)>(false);
    case Api::NPY_LONGLONG_:
      return DType::int64;
    case Api::NPY_ULONGLONG_:
      return DType::uint64;
    case number_of_half:
      return DType::float16;
    case Api::NPY_FLOAT_:
      return DType::float32;
    case Api::NPY_DOUBLE_:
      return DType::float64;
    default:
      return std::nullopt;
  }
}

/// Types of the package ml_dtypes. NumPy numbers them as they come, for the life of the process.
std::optional<DType> user_dtype(int number, PyObject* array) {
  struct Known {
    bool asked = false;
    std::optional<DType> dtype;
  };
  static std::array<Known, 32> known;
  const auto index = static_cast<std::size_t>(number - first_user_number);
  if (index >= known.size()) {
    return std::nullopt;
  }
  if (!known[index].asked) {
    try {
      const auto dtype = dtype_of_array(py::reinterpret_borrow<py::array>(array));
      if (dtype && *dtype >= DType::bfloat16 && !is_integer(*dtype)) {
        known[index].dtype = dtype;
        number_of_bfloat16 = *dtype == DType::bfloat16 ? number : number_of_bfloat16;
      }
    } catch (py::error_already_set&) {
      return std::nullopt;
    }
    known[index].asked = true;
  }
  return known[index].dtype;
}

/// What results for such an argument are stored as: float8 is only read.
DType written(DType dtype) { return item_size(dtype) == 1 ? DType::float32 : dtype; }

int number_of(DType dtype) {
  switch (dtype) {
    case DType::float64:
      return Api::NPY_DOUBLE_;
    case DType::float16:
      return number_of_half;
    case DType::bfloat16:
      return number_of_bfloat16;
    default:
      return Api::NPY_FLOAT_;
  }
}

PyObject* type_of(DType dtype) {
  switch (dtype) {
    case DType::float64:
      return float64_type;
    case DType::float16:
      return float16_type;
    case DType::bfloat16: {
      const py::object descr = py::reinterpret_steal<py::object>(Api::get().PyArray_DescrFromType_(number_of_bfloat16));
      return py::detail::array_descriptor_proxy(descr.ptr())->typeobj;  // NumPy keeps both
    }
    default:
      return float32_type;
  }
}

/// As NumPy calls those of its own.
const char* name_of(DType dtype) {
  return dtype == DType::float64 ? "float64" : dtype == DType::float16 ? "float16" : "float32";
}

/// To so many binary digits, or to a multiple of 2^lowest below the normal numbers, ties to even; infinite from `limit` on.
double rounded_to(double value, int digits, int lowest, double limit) {
  if (!std::isfinite(value)) {
    return value;
  }
  int exponent = 0;
  std::frexp(value, &exponent);
  const int step = std::max(exponent - digits, lowest);
  const double found = std::ldexp(std::nearbyint(std::ldexp(value, -step)), step);
  return std::abs(found) < limit ? found : std::copysign(std::numeric_limits<double>::infinity(), value);
}

/// NumPy's own rounding would warn of an overflow.
double rounded(double value, DType dtype) {
  switch (dtype) {
    case DType::float64:
      return value;
    case DType::float16:
      return rounded_to(value, 11, -24, 0x1p16);
    case DType::bfloat16:
      return rounded_to(value, 8, -133, 0x1p128);
    default:
      return static_cast<double>(static_cast<float>(value));
  }
}

/// The first of an array's bytes and the one behind its last.
struct Extent {
  std::uintptr_t first;
  std::uintptr_t end;
};

Extent extent_of(const PlainArray& one) {
  const auto data = reinterpret_cast<std::uintptr_t>(one.array->data);
  Extent extent{data, data + static_cast<std::uintptr_t>(item_size(one.dtype))};
  for (int d = 0; d < one.ndim(); ++d) {
    if (one.length(d) == 0) {
      return {data, data};
    }
    const std::int64_t step = (one.length(d) - 1) * one.array->strides[d];
    (step < 0 ? extent.first : extent.end) += static_cast<std::uintptr_t>(step);
  }
  return extent;
}

/// Whether the memory of two arrays may meet.
bool overlap(const PlainArray& a, const PlainArray& b) {
  const Extent one = extent_of(a);
  const Extent other = extent_of(b);
  return one.first < other.end && other.first < one.end;
}

}  // namespace

bool PlainArray::has_shape(int ndim, const Py_ssize_t* shape) const {
  return array->nd == ndim && std::equal(shape, shape + ndim, array->dimensions);
}

std::int64_t PlainArray::size() const {
  std::int64_t n = 1;
  for (int d = 0; d < array->nd; ++d) {
    n *= array->dimensions[d];
  }
  return n;
}

bool PlainArray::in_place() const {
  constexpr int wanted = Api::NPY_ARRAY_C_CONTIGUOUS_ | Api::NPY_ARRAY_ALIGNED_;
  return (array->flags & wanted) == wanted && !swapped;
}

bool plain_ndarray(PyObject* object, PlainArray& out) {
  if (!is_ndarray(object)) {
    return false;
  }
  out.array = py::detail::array_proxy(object);
  const auto* descr = py::detail::array_descriptor_proxy(out.array->descr);
  const int number = descr->type_num;
  const std::optional<DType> dtype = number < first_user_number ? native_dtype(number) : user_dtype(number, object);
  if (!dtype) {
    return false;
  }
  out.dtype = *dtype;
  out.swapped = descr->byteorder == '>';
  return true;
}

bool plain_array(PyObject* object, PlainArray& out) {
  if (is_ndarray(object)) {
    return plain_ndarray(object, out);
  }
  // A number broadcasts, which plain calls seldom take.
  if (object == Py_None || PyFloat_Check(object) || PyLong_Check(object)) {
    return false;
  }
  PyObject* const empty = PyUnicode_InternFromString("");
  PyObject* const pair = PyObject_CallFunctionObjArgs(as_array, empty, empty, object, nullptr);
  Py_DECREF(empty);
  if (pair == nullptr) {
    if (PyErr_ExceptionMatches(PyExc_Exception) != 0) {
      PyErr_Clear();  // the checks raise it again, with the names of the function and the argument
    }
    return false;
  }
  out.owner = py::reinterpret_borrow<py::object>(PyTuple_GET_ITEM(pair, 0));
  out.weak = PyTuple_GET_ITEM(pair, 1) == Py_True;
  Py_DECREF(pair);
  return plain_ndarray(out.owner.ptr(), out);
}

bool is_text(PyObject* object, const char* text) {
  return PyUnicode_CheckExact(object) && PyUnicode_CompareWithASCIIString(object, text) == 0;
}

DType result_dtype(std::span<const PlainArray> arrays) {
  DType widest = DType::float32;
  bool found = false;
  bool differ = false;
  for (const PlainArray& one : arrays) {
    if (!one.is_float() || one.weak) {
      continue;
    }
    const DType dtype = written(one.dtype);
    differ = differ || (found && dtype != widest);
    if (!found || item_size(dtype) > item_size(widest)) {
      widest = dtype;
    }
    found = true;
  }
  return differ && item_size(widest) == 2 ? DType::float32 : widest;  // what holds both float16 and bfloat16
}

DType gradient_dtype(const PlainArray& array, DType result) {
  return array.is_float() && !array.weak ? written(array.dtype) : result;
}

bool read_dtype(PyObject* object, std::optional<DType>& dtype) {
  int number = -1;
  if (PyObject_TypeCheck(object, reinterpret_cast<PyTypeObject*>(Api::get().PyArrayDescr_Type_))) {
    const auto* descr = py::detail::array_descriptor_proxy(object);
    number = descr->byteorder == '>' ? -1 : descr->type_num;
  }
  for (const DType one : {DType::float32, DType::float64, DType::float16}) {
    if (object == type_of(one) || number == number_of(one) || is_text(object, name_of(one))) {
      dtype = one;
      return true;
    }
  }
  return false;
}

bool is_scalar(PyObject* object) {
  PyObject* const type = reinterpret_cast<PyObject*>(Py_TYPE(object));
  return type == float32_type || type == float64_type || type == float16_type;
}

bool stands_apart(PyObject* out, const PlainArray& other) {
  PlainArray array;
  return out == nullptr || other.array == nullptr || (plain_ndarray(out, array) && !overlap(array, other));
}

void set_view(ArrayView& view, const PlainArray& array) {
  view.data = array.array->data;
  view.dtype = array.dtype;
  view.swapped = array.swapped;
  view.ndim = array.ndim();
  std::copy_n(array.array->dimensions, array.ndim(), view.shape.begin());
  std::copy_n(array.array->strides, array.ndim(), view.strides.begin());
}

bool spread_view(ArrayView& view, const PlainArray& array, int ndim, const Py_ssize_t* shape) {
  const int missing = ndim - array.ndim();
  if (missing < 0) {
    return false;
  }
  view.data = array.array->data;
  view.dtype = array.dtype;
  view.swapped = array.swapped;
  view.ndim = ndim;
  for (int d = 0; d < ndim; ++d) {
    const auto axis = static_cast<std::size_t>(d);
    const bool same = d >= missing && array.length(d - missing) == shape[d];
    if (!same && d >= missing && array.length(d - missing) != 1) {
      return false;
    }
    view.shape[axis] = shape[d];
    view.strides[axis] = same ? array.array->strides[d - missing] : 0;
  }
  return true;
}

bool Result::make(PyObject* given, DType dtype, int ndim, const Py_ssize_t* shape, std::span<const PlainArray> operands) {
  if (given == nullptr) {
    array_ = new_result(Api::get().PyArray_DescrFromType_(number_of(dtype)), item_size(dtype), ndim, shape);
    if (array_ == nullptr) {
      return false;
    }
  } else {
    PlainArray out;
    if (!plain_ndarray(given, out) || out.dtype != dtype || !out.has_shape(ndim, shape) || !out.in_place() ||
        (out.array->flags & Api::NPY_ARRAY_WRITEABLE_) == 0 ||
        std::any_of(operands.begin(), operands.end(), [&](const PlainArray& operand) { return overlap(out, operand); })) {
      return false;
    }
    array_ = Py_NewRef(given);
  }
  std::int64_t size = 1;
  for (int d = 0; d < ndim; ++d) {
    size *= shape[d];
  }
  output_ = {py::detail::array_proxy(array_)->data, dtype, size};
  return true;
}

ArrayView Result::view() const {
  ArrayView view;
  PlainArray own;
  own.array = py::detail::array_proxy(array_);
  own.dtype = output_.dtype;
  set_view(view, own);
  return view;
}

PyObject* scalar(double value, DType dtype) {
  PyObject* number = PyFloat_FromDouble(rounded(value, dtype));
  if (number == nullptr) {
    return nullptr;
  }
  PyObject* result = PyObject_CallOneArg(type_of(dtype), number);
  Py_DECREF(number);
  return result;
}

void bind_plain_arrays(py::module_& m) {
  const py::module_ numpy = py::module_::import("numpy");
  float16_type = py::object(numpy.attr("float16")).release().ptr();
  float32_type = py::object(numpy.attr("float32")).release().ptr();
  float64_type = py::object(numpy.attr("float64")).release().ptr();
  m.def("read_others", [](py::object function) { as_array = function.release().ptr(); });
}

}  // namespace ndloss::binding
