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
PyObject* feed_type = nullptr;

/// What warns of input and target of different shapes: `_regression.warn_of_broadcast`.
PyObject* warn_of_broadcast = nullptr;

/// A Python int in a range.
bool read_int(PyObject* object, int lowest, int largest, int& number) {
  std::int64_t value = 0;
  if (!read_integer(object, value) || value < lowest || value > largest) {
    return false;
  }
  number = static_cast<int>(value);
  return true;
}

/// An attribute of a request; null is none of ours.
py::object attribute(PyObject* object, const char* name) {
  PyObject* value = PyObject_GetAttrString(object, name);
  if (value == nullptr) {
    PyErr_Clear();
  }
  return py::reinterpret_steal<py::object>(value);
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

/// What multiplies every gradient: None, one number, or an array. False declines.
bool read_grad_output(const py::object& object, PlainOptions& options) {
  std::int64_t number = 0;
  if (!object || object.is_none()) {
    return static_cast<bool>(object);
  }
  if (PyFloat_CheckExact(object.ptr()) || is_scalar(object.ptr())) {
    options.grad_output = PyFloat_AsDouble(object.ptr());
    return true;
  }
  if (read_integer(object.ptr(), number)) {
    options.grad_output = static_cast<double>(number);
    return true;
  }
  return plain_ndarray(object.ptr(), options.upstream);
}

/// A request to join a stream, or for derivatives by arguments that are named by their numbers. `out` is where it has the pair
/// that is given for gradients and second derivatives.
bool read_request(PyObject* request, PlainOptions& options, py::object& out) {
  PyObject* const type = reinterpret_cast<PyObject*>(Py_TYPE(request));
  if (type == feed_type) {
    return read_feed(request, options.feed);
  }
  if (type == value_and_grad_type) {
    options.derivatives = Derivatives::gradient;
    if (!read_grad_output(attribute(request, "grad_output"), options)) {
      return false;
    }
  } else if (type == grad_hess_type) {
    options.derivatives = Derivatives::both;
    out = attribute(request, "out");
    if (!out) {
      return false;
    }
  } else {
    return false;
  }
  const py::object argnums = attribute(request, "argnums");
  return argnums && add_arguments(argnums.ptr(), options);
}

/// Deals out what is given for the derivatives of one order: None, an array, or a tuple of them. False declines.
bool deal(PyObject* given, const PlainOptions& options, PyObject** outs) {
  if (given == Py_None) {
    return true;
  }
  if (!options.several) {
    outs[0] = given;
    return true;
  }
  if (!PyTuple_CheckExact(given) || PyTuple_GET_SIZE(given) != options.count) {
    return false;
  }
  for (Py_ssize_t k = 0; k < options.count; ++k) {
    PyObject* const one = PyTuple_GET_ITEM(given, k);
    outs[k] = one == Py_None ? nullptr : one;
  }
  return true;
}

/// The same for all orders.
bool deal_out(PyObject* given, PyObject* pair, PlainOptions& options) {
  switch (options.derivatives) {
    case Derivatives::none:
      options.outs[0] = given == Py_None ? nullptr : given;
      return true;
    case Derivatives::gradient:
      return deal(given, options, options.outs);
    default:
      if (given != Py_None || (pair != Py_None && (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2))) {
        return false;
      }
      return pair == Py_None || (deal(PyTuple_GET_ITEM(pair, 0), options, options.outs) &&
                                 deal(PyTuple_GET_ITEM(pair, 1), options, options.outs + max_operands));
  }
}

/// Whether no two of the outs may meet.
bool outs_stand_apart(const PlainOptions& options) {
  for (PyObject* const* one = std::begin(options.outs); one != std::end(options.outs); ++one) {
    if (*one == nullptr) {
      continue;
    }
    PlainArray array;
    const auto apart = [&](PyObject* other) { return stands_apart(other, array); };
    if (!plain_ndarray(*one, array) || !std::all_of(one + 1, std::end(options.outs), apart)) {
      return false;
    }
  }
  return true;
}

}  // namespace

bool read_reduction(PyObject* object, Reduction& reduction) {
  if (is_text(object, "mean")) {
    reduction = Reduction::mean;
  } else if (is_text(object, "sum")) {
    reduction = Reduction::sum;
  } else if (is_text(object, "none")) {
    reduction = Reduction::none;
  } else {
    return false;
  }
  return true;
}

bool is_batch_mean(PyObject* object) { return is_text(object, "batchmean"); }

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

bool read_axis(PyObject* object, int ndim, int& axis) {
  if (object == Py_None) {
    return true;
  }
  if (!read_int(object, -ndim, ndim - 1, axis)) {
    return false;
  }
  axis += axis < 0 ? ndim : 0;
  return true;
}

bool read_options(PyObject* dictionary, PlainOptions& options) {
  if (!PyDict_CheckExact(dictionary)) {
    return false;
  }
  if (PyDict_GET_SIZE(dictionary) == 0) {
    return true;
  }
  PyObject* out = Py_None;
  py::object pair = py::none();
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
      known = read_request(value, options, pair);
    } else if (name == "broadcast") {
      options.spreads = value == Py_True;
      known = PyBool_Check(value);
    } else if (name == "validate") {
      known = PyBool_Check(value);  // the checks are asked about what may be bad in any case
    } else if (name == "dtype") {
      known = value == Py_None || read_dtype(value, options.dtype);
    } else if (name == "empty") {
      options.nan_of_nothing = is_text(value, "nan");
      known = options.nan_of_nothing || is_text(value, "zero") || is_text(value, "raise");
    } else if (name == "mask") {
      known = value == Py_None || (plain_array(value, options.mask) && is_integer(options.mask.dtype));
    } else if (name == "num_threads") {
      known = value == Py_None || read_int(value, 1, 4096, options.threads);
    } else if (name == "out") {
      out = value;
      known = true;
    } else if (name == "return_divisor") {
      options.return_divisor = value == Py_True;
      known = PyBool_Check(value);
    } else if (name == "sample_weight") {
      known = value == Py_None || plain_array(value, options.sample_weight);
    }
    if (!known) {
      return false;
    }
  }
  return deal_out(out, pair.ptr(), options) && outs_stand_apart(options) && options.outs_apart_from(options.sample_weight) &&
         options.outs_apart_from(options.mask) && options.outs_apart_from(options.upstream);
}

bool PlainOptions::outs_apart_from(const PlainArray& array) const {
  return array.array == nullptr ||
         std::all_of(std::begin(outs), std::end(outs), [&](PyObject* out) { return stands_apart(out, array); });
}

bool PlainOperands::warned() const {
  if (!differ) {
    return true;
  }
  const auto shape_of = [&](std::size_t k) {
    const auto object = py::handle(reinterpret_cast<PyObject*>(const_cast<py::detail::PyArray_Proxy*>(arrays[k].array)));
    return attribute(object.ptr(), "shape");
  };
  PyObject* none = PyObject_CallFunctionObjArgs(warn_of_broadcast, shape_of(0).ptr(), shape_of(1).ptr(), nullptr);
  Py_XDECREF(none);
  return none != nullptr;
}

bool spread(const PlainArray& option, const PlainOperands& operands, bool by_row, std::int64_t classes, ArrayView& storage,
            const ArrayView*& view) {
  if (option.array == nullptr) {
    return true;
  }
  if (!spread_view(storage, option, operands.output_ndim, operands.output_shape)) {
    return false;
  }
  if (by_row) {
    const auto last = static_cast<std::size_t>(storage.ndim++);
    storage.shape[last] = classes;
    storage.strides[last] = 0;
  }
  view = &storage;
  return true;
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
  m.def("answer_requests", [](py::object value_and_grad, py::object grad_hess, py::object feed) {
    value_and_grad_type = value_and_grad.release().ptr();
    grad_hess_type = grad_hess.release().ptr();
    feed_type = feed.release().ptr();
  });
  m.def("warn_by", [](py::object function) { warn_of_broadcast = function.release().ptr(); });
}

}  // namespace ndloss::binding
