// What plain calls share: see the header.
#include "plain_call.hpp"

#include <algorithm>
#include <string_view>

namespace ndloss::binding {
namespace {

using Api = py::detail::npy_api;

/// The classes of `_request.py` whose calls are answered here.
PyObject* value_and_grad_type = nullptr;
PyObject* grad_hess_type = nullptr;

PyObject* float32_type = nullptr;
PyObject* float64_type = nullptr;

/// A Python int in a range.
bool read_int(PyObject* object, int lowest, int largest, int& number) {
  std::int64_t value = 0;
  if (!read_integer(object, value) || value < lowest || value > largest) {
    return false;
  }
  number = static_cast<int>(value);
  return true;
}

/// Whether an attribute of a request is None; an error is none of ours.
bool is_none(PyObject* object, const char* name) {
  PyObject* value = PyObject_GetAttrString(object, name);
  if (value == nullptr) {
    PyErr_Clear();
    return false;
  }
  Py_DECREF(value);
  return value == Py_None;
}

/// A number of `argnums`; false for one that is there already.
bool add_argument(PyObject* number, PlainOptions& options) {
  int argument = 0;
  if (options.count == max_operands || !read_int(number, 0, max_operands - 1, argument) ||
      std::find(options.arguments, options.arguments + options.count, argument) != options.arguments + options.count) {
    return false;
  }
  options.arguments[options.count++] = argument;
  return true;
}

/// One number, or a tuple of them.
bool add_arguments(PyObject* argnums, PlainOptions& options) {
  options.several = PyTuple_CheckExact(argnums);
  if (!options.several) {
    return add_argument(argnums, options);
  }
  const Py_ssize_t count = PyTuple_GET_SIZE(argnums);
  for (Py_ssize_t k = 0; k < count; ++k) {
    if (!add_argument(PyTuple_GET_ITEM(argnums, k), options)) {
      return false;
    }
  }
  return count > 0;
}

/// A request for derivatives by arguments that are named by their numbers, without anything that multiplies them.
bool read_request(PyObject* request, PlainOptions& options) {
  PyObject* const type = reinterpret_cast<PyObject*>(Py_TYPE(request));
  const bool gradient = type == value_and_grad_type;
  if ((!gradient && type != grad_hess_type) || !is_none(request, gradient ? "grad_output" : "out")) {
    return false;
  }
  options.derivatives = gradient ? Derivatives::gradient : Derivatives::both;
  PyObject* argnums = PyObject_GetAttrString(request, "argnums");
  if (argnums == nullptr) {
    PyErr_Clear();
    return false;
  }
  const bool known = add_arguments(argnums, options);
  Py_DECREF(argnums);
  return known;
}

/// Whether the memory of two contiguous arrays meets.
bool overlap(const PlainArray& a, const PlainArray& b) {
  const auto bytes = [](const PlainArray& one) { return static_cast<std::uintptr_t>(one.size() * item_size(one.dtype)); };
  const auto first = reinterpret_cast<std::uintptr_t>(a.array->data);
  const auto second = reinterpret_cast<std::uintptr_t>(b.array->data);
  return first < second + bytes(b) && second < first + bytes(a);
}

}  // namespace

bool plain_array(PyObject* object, PlainArray& out) {
  const auto& api = Api::get();
  if (reinterpret_cast<PyObject*>(Py_TYPE(object)) != reinterpret_cast<PyObject*>(api.PyArray_Type_)) {
    return false;
  }
  out.array = py::detail::array_proxy(object);
  constexpr int wanted = Api::NPY_ARRAY_C_CONTIGUOUS_ | Api::NPY_ARRAY_ALIGNED_;
  if ((out.array->flags & wanted) != wanted) {
    return false;
  }
  const auto* descr = py::detail::array_descriptor_proxy(out.array->descr);
  if (descr->byteorder == '>') {
    return false;
  }
  switch (descr->type_num) {
    case Api::NPY_FLOAT_:
      out.dtype = DType::float32;
      return true;
    case Api::NPY_DOUBLE_:
      out.dtype = DType::float64;
      return true;
    case Api::NPY_BOOL_:
      out.dtype = DType::boolean;
      return true;
    case Api::NPY_INT_:
      out.dtype = DType::int32;
      return true;
    case Api::NPY_LONG_:
      out.dtype = sizeof(long) == 8 ? DType::int64 : DType::int32;
      return true;
    case Api::NPY_LONGLONG_:
      out.dtype = DType::int64;
      return true;
    case Api::NPY_UBYTE_:
      out.dtype = DType::uint8;
      return true;
    default:
      return false;
  }
}

bool same_shape(const PlainArray& a, const PlainArray& b) {
  if (a.ndim() != b.ndim()) {
    return false;
  }
  for (int d = 0; d < a.ndim(); ++d) {
    if (a.length(d) != b.length(d)) {
      return false;
    }
  }
  return true;
}

void set_view(ArrayView& view, const PlainArray& array) {
  view.data = array.array->data;
  view.dtype = array.dtype;
  view.ndim = array.ndim();
  std::int64_t stride = item_size(array.dtype);
  for (int d = array.ndim() - 1; d >= 0; --d) {
    const auto axis = static_cast<std::size_t>(d);
    view.shape[axis] = array.length(d);
    view.strides[axis] = stride;
    stride *= array.length(d);
  }
}

void set_view(ArrayView& view, const PlainArray& array, int ndim, std::int64_t rows, std::int64_t classes) {
  view.data = array.array->data;
  view.dtype = array.dtype;
  view.ndim = ndim;
  const std::int64_t item = item_size(array.dtype);
  view.shape[0] = rows;
  view.shape[1] = classes;
  view.strides[0] = ndim == 2 ? classes * item : item;
  view.strides[1] = item;
}

bool read_reduction(PyObject* object, Reduction& reduction) {
  if (!PyUnicode_CheckExact(object)) {
    return false;
  }
  if (PyUnicode_CompareWithASCIIString(object, "mean") == 0) {
    reduction = Reduction::mean;
    return true;
  }
  if (PyUnicode_CompareWithASCIIString(object, "sum") == 0) {
    reduction = Reduction::sum;
    return true;
  }
  if (PyUnicode_CompareWithASCIIString(object, "none") == 0) {
    reduction = Reduction::none;
    return true;
  }
  return false;
}

bool is_batch_mean(PyObject* object) {
  return PyUnicode_CheckExact(object) && PyUnicode_CompareWithASCIIString(object, "batchmean") == 0;
}

bool read_integer(PyObject* object, std::int64_t& number) {
  int overflow = 0;
  if (!PyLong_CheckExact(object)) {
    return false;
  }
  number = PyLong_AsLongLongAndOverflow(object, &overflow);
  return overflow == 0;
}

bool read_number(PyObject* object, double& number) {
  if (PyFloat_CheckExact(object)) {
    number = PyFloat_AS_DOUBLE(object);
    return true;
  }
  if (!PyLong_CheckExact(object)) {
    return false;
  }
  number = PyLong_AsDouble(object);
  if (PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    return false;
  }
  return true;
}

bool is_last_axis(PyObject* object, int ndim) {
  int axis = 0;
  return object == Py_None || (read_int(object, -1, ndim - 1, axis) && (axis == -1 || axis == ndim - 1));
}

bool read_options(PyObject* dictionary, PlainOptions& options) {
  if (!PyDict_CheckExact(dictionary)) {
    return false;
  }
  Py_ssize_t place = 0;
  PyObject* key = nullptr;
  PyObject* value = nullptr;
  while (PyDict_Next(dictionary, &place, &key, &value) != 0) {
    Py_ssize_t length = 0;
    const char* letters = PyUnicode_AsUTF8AndSize(key, &length);
    if (letters == nullptr) {
      PyErr_Clear();
      return false;
    }
    const std::string_view name(letters, static_cast<std::size_t>(length));
    bool known = false;
    if (name == "_request") {
      known = read_request(value, options);
    } else if (name == "broadcast" || name == "return_divisor" || name == "validate") {
      known = value == (name == "return_divisor" ? Py_False : Py_True);
    } else if (name == "mask") {
      known = value == Py_None || (plain_array(value, options.mask) && options.mask.dtype == DType::boolean);
    } else if (name == "num_threads") {
      known = value == Py_None || read_int(value, 1, 4096, options.threads);
    } else if (name == "out") {
      options.out = value == Py_None ? nullptr : value;
      known = true;
    } else if (name == "sample_weight") {
      known = value == Py_None || plain_array(value, options.sample_weight);
    }
    if (!known) {
      return false;
    }
  }
  return options.out == nullptr || (options.sample_weight.array == nullptr && options.mask.array == nullptr);
}

bool Result::make(PyObject* given, DType dtype, int ndim, const Py_ssize_t* shape, std::span<const PlainArray> operands) {
  const auto& api = Api::get();
  if (given == nullptr) {
    const int number = dtype == DType::float64 ? Api::NPY_DOUBLE_ : Api::NPY_FLOAT_;
    array_ = api.PyArray_NewFromDescr_(api.PyArray_Type_, api.PyArray_DescrFromType_(number), ndim, shape, nullptr, nullptr, 0,
                                       nullptr);
    if (array_ == nullptr) {
      return false;
    }
  } else {
    PlainArray out;
    if (!plain_array(given, out) || out.dtype != dtype || out.ndim() != ndim ||
        !std::equal(shape, shape + ndim, out.array->dimensions) || (out.array->flags & Api::NPY_ARRAY_WRITEABLE_) == 0 ||
        std::any_of(operands.begin(), operands.end(), [&](const PlainArray& operand) { return overlap(out, operand); })) {
      return false;
    }
    array_ = Py_NewRef(given);
  }
  auto* array = py::detail::array_proxy(array_);
  std::int64_t size = 1;
  for (int d = 0; d < ndim; ++d) {
    size *= shape[d];
  }
  output_ = {array->data, dtype, size};
  return true;
}

PyObject* scalar(double value, DType dtype) {
  // Rounded here: NumPy would warn of an overflow.
  PyObject* number = PyFloat_FromDouble(dtype == DType::float64 ? value : static_cast<double>(static_cast<float>(value)));
  if (number == nullptr) {
    return nullptr;
  }
  PyObject* result = PyObject_CallOneArg(dtype == DType::float64 ? float64_type : float32_type, number);
  Py_DECREF(number);
  return result;
}

PyObject* pair_of(PyObject* first, PyObject* second) {
  PyObject* pair = first != nullptr && second != nullptr ? PyTuple_Pack(2, first, second) : nullptr;
  Py_XDECREF(first);
  Py_XDECREF(second);
  return pair;
}

PyObject* released(Result* derivatives, const PlainOptions& options) {
  if (!options.several) {
    return derivatives[0].release();
  }
  PyObject* tuple = PyTuple_New(options.count);
  for (int k = 0; tuple != nullptr && k < options.count; ++k) {
    PyTuple_SET_ITEM(tuple, k, derivatives[k].release());
  }
  return tuple;
}

void bind_plain_call(py::module_& m) {
  const py::module_ numpy = py::module_::import("numpy");
  float32_type = py::object(numpy.attr("float32")).release().ptr();
  float64_type = py::object(numpy.attr("float64")).release().ptr();
  m.def("answer_requests", [](py::object value_and_grad, py::object grad_hess) {
    value_and_grad_type = value_and_grad.release().ptr();
    grad_hess_type = grad_hess.release().ptr();
  });
}

}  // namespace ndloss::binding
