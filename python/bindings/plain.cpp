// Plain calls: exact arrays of matching shape and dtype, no options. One entry per loss, parsed once; None declines, and the
// Python path then checks, converts or raises.
#include <array>
#include <cmath>
#include <string_view>

#include "arrays.hpp"
#include "ndloss/vectors.hpp"
#include "registered.hpp"

namespace ndloss::binding {
namespace {

/// Elements from which on a call lets other Python threads run.
constexpr std::int64_t gil_worth = 1 << 14;

/// A native, aligned, C-contiguous array of exactly numpy.ndarray.
struct PlainArray {
  const py::detail::PyArray_Proxy* array = nullptr;
  DType dtype = DType::float32;

  [[nodiscard]] std::int64_t size() const {
    std::int64_t n = 1;
    for (int d = 0; d < array->nd; ++d) {
      n *= array->dimensions[d];
    }
    return n;
  }
};

bool plain_array(PyObject* object, PlainArray& out) {
  const auto& api = py::detail::npy_api::get();
  if (reinterpret_cast<PyObject*>(Py_TYPE(object)) != reinterpret_cast<PyObject*>(api.PyArray_Type_)) {
    return false;
  }
  out.array = py::detail::array_proxy(object);
  constexpr int wanted = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  if ((out.array->flags & wanted) != wanted) {
    return false;
  }
  const auto* descr = py::detail::array_descriptor_proxy(out.array->descr);
  if (descr->byteorder == '>') {
    return false;
  }
  switch (descr->type_num) {
    case py::detail::npy_api::NPY_FLOAT_:
      out.dtype = DType::float32;
      return true;
    case py::detail::npy_api::NPY_DOUBLE_:
      out.dtype = DType::float64;
      return true;
    case py::detail::npy_api::NPY_INT_:
      out.dtype = DType::int32;
      return true;
    case py::detail::npy_api::NPY_LONG_:
      out.dtype = sizeof(long) == 8 ? DType::int64 : DType::int32;
      return true;
    case py::detail::npy_api::NPY_LONGLONG_:
      out.dtype = DType::int64;
      return true;
    case py::detail::npy_api::NPY_UBYTE_:
      out.dtype = DType::uint8;
      return true;
    default:
      return false;
  }
}

bool is_float(const PlainArray& array) { return array.dtype == DType::float32 || array.dtype == DType::float64; }

bool same_shape(const PlainArray& a, const PlainArray& b) {
  if (a.array->nd != b.array->nd) {
    return false;
  }
  for (int d = 0; d < a.array->nd; ++d) {
    if (a.array->dimensions[d] != b.array->dimensions[d]) {
      return false;
    }
  }
  return true;
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

PyObject* float32_type = nullptr;
PyObject* float64_type = nullptr;

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

PyObject* decline() { Py_RETURN_NONE; }

/// 'mean' or 'sum'; anything else declines.
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
  return false;
}

/// Runs a call, without the GIL where it is worth it; false if it declines or, with an error set, fails.
template <class Call>
bool run_plain(const Call& call, std::int64_t work, Accumulator& total) {
  try {
    if (work >= gil_worth) {
      total = without_gil([&] { return accumulate(call); });
    } else {
      total = accumulate(call);
    }
    return !total.bad.found();
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return false;
}

PyObject* finish(bool done, const Accumulator& total, Reduction reduction, DType dtype) {
  if (!done) {
    return PyErr_Occurred() != nullptr ? nullptr : decline();
  }
  return scalar(total.compute(reduction), dtype);
}

/// name(operand, ..., reduction, parameter, ...)
template <std::size_t I>
PyObject* elementwise(PyObject* /*self*/, PyObject* const* args, Py_ssize_t nargs) {
  constexpr RegisteredLoss loss = registered[I];
  if (nargs != loss.operands + 1 + loss.parameters) {
    return decline();
  }
  PlainArray arrays[max_operands];
  Reduction reduction{};
  for (int k = 0; k < loss.operands; ++k) {
    if (!plain_array(args[k], arrays[k]) || arrays[k].dtype != arrays[0].dtype || !is_float(arrays[k]) ||
        !same_shape(arrays[k], arrays[0])) {
      return decline();
    }
  }
  if (!read_reduction(args[loss.operands], reduction)) {
    return decline();
  }
  double values[8] = {};
  for (int p = 0; p < loss.parameters; ++p) {
    PyObject* value = args[loss.operands + 1 + p];
    if (PyFloat_CheckExact(value)) {
      values[p] = PyFloat_AS_DOUBLE(value);
    } else {
      return decline();
    }
  }
  AnyLoss any;
  loss.make(any, values);
  const std::int64_t size = arrays[0].size();
  std::int64_t classes = size;
  if (any.erased.row_mean) {
    if (arrays[0].array->nd == 0) {
      return decline();
    }
    classes = arrays[0].array->dimensions[arrays[0].array->nd - 1];
    if (classes == 0) {
      return decline();
    }
  }
  ElementwiseCall call{};
  ArrayView views[max_operands];
  call.loss = any.erased;
  for (int k = 0; k < loss.operands; ++k) {
    set_view(views[k], arrays[k], any.erased.row_mean ? 2 : 1, any.erased.row_mean ? size / classes : size, classes);
    call.operands[k] = &views[k];
  }
  call.compute = arrays[0].dtype;
  call.interrupt = size >= gil_worth ? signals() : Interrupt{};
  Accumulator total;
  return finish(run_plain(call, size, total), total, reduction, arrays[0].dtype);
}

/// Runs a call of rows whose targets and options are set.
PyObject* rows_plain(RowCall& call, const ArrayView& view, const PlainArray& input, Reduction reduction) {
  call.input = &view;
  call.compute = input.dtype;
  const std::int64_t size = input.size();
  call.interrupt = size >= gil_worth ? signals() : Interrupt{};
  Accumulator total;
  return finish(run_plain(call, size, total), total, reduction, input.dtype);
}

/// (N, C) floats and (N,) class indices.
bool read_rows(PyObject* const* args, ArrayView* views, PlainArray& input) {
  PlainArray target;
  if (!plain_array(args[0], input) || !plain_array(args[1], target) || !is_float(input) || is_float(target) ||
      input.array->nd != 2 || target.array->nd != 1 || input.array->dimensions[0] != target.array->dimensions[0] ||
      input.array->dimensions[1] == 0) {
    return false;
  }
  set_view(views[0], input, 2, input.array->dimensions[0], input.array->dimensions[1]);
  set_view(views[1], target, 1, target.array->dimensions[0], 1);
  return true;
}

/// multi_margin_loss(input, target, p, margin, reduction)
PyObject* multi_margin(PyObject* /*self*/, PyObject* const* args, Py_ssize_t nargs) {
  ArrayView views[2];
  PlainArray input;
  Reduction reduction{};
  if (nargs != 5 || !PyLong_CheckExact(args[2]) || !PyFloat_CheckExact(args[3]) || !read_reduction(args[4], reduction) ||
      !read_rows(args, views, input)) {
    return decline();
  }
  RowCall call;
  call.kind = RowKind::multi_margin;
  call.p = PyLong_AsLongLong(args[2]);
  if (call.p != 1 && call.p != 2) {
    PyErr_Clear();
    return decline();
  }
  call.margin = PyFloat_AS_DOUBLE(args[3]);
  call.labels = &views[1];
  return rows_plain(call, views[0], input, reduction);
}

/// multilabel_margin_loss(input, target, reduction)
PyObject* multilabel_margin(PyObject* /*self*/, PyObject* const* args, Py_ssize_t nargs) {
  PlainArray input;
  PlainArray target;
  Reduction reduction{};
  if (nargs != 3 || !plain_array(args[0], input) || !plain_array(args[1], target) || !is_float(input) || is_float(target) ||
      input.array->nd != 2 || !same_shape(input, target) || input.array->dimensions[1] == 0 ||
      !read_reduction(args[2], reduction)) {
    return decline();
  }
  ArrayView views[2];
  set_view(views[0], input, 2, input.array->dimensions[0], input.array->dimensions[1]);
  set_view(views[1], target, 2, input.array->dimensions[0], input.array->dimensions[1]);
  RowCall call;
  call.kind = RowKind::multilabel_margin;
  call.label_sets = &views[1];
  return rows_plain(call, views[0], input, reduction);
}

PyObject* rowwise(RowKind kind, PyObject* const* args, PyObject* reduction_name, PyObject* ignore_index,
                  double label_smoothing) {
  ArrayView views[2];
  PlainArray input;
  Reduction reduction{};
  if (!PyLong_CheckExact(ignore_index) || !read_reduction(reduction_name, reduction) || !read_rows(args, views, input)) {
    return decline();
  }
  RowCall call;
  call.kind = kind;
  call.ignore_index = PyLong_AsLongLong(ignore_index);
  if (call.ignore_index == -1 && PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    return decline();
  }
  call.labels = &views[1];
  call.label_smoothing = label_smoothing;
  return rows_plain(call, views[0], input, reduction);
}

/// cross_entropy(input, target, ignore_index, reduction, label_smoothing)
PyObject* cross_entropy(PyObject* /*self*/, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 5 || !PyFloat_CheckExact(args[4])) {
    return decline();
  }
  const double label_smoothing = PyFloat_AS_DOUBLE(args[4]);
  if (!(label_smoothing >= 0 && label_smoothing <= 1)) {
    return decline();
  }
  return rowwise(RowKind::cross_entropy, args, args[3], args[2], label_smoothing);
}

/// nll_loss(input, target, ignore_index, reduction)
PyObject* nll_loss(PyObject* /*self*/, PyObject* const* args, Py_ssize_t nargs) {
  return nargs == 4 ? rowwise(RowKind::nll, args, args[3], args[2], 0.0) : decline();
}

/// A Python float or int.
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

/// Arrays of floats of one shape and dtype, seen as rows of features.
bool read_vectors(PyObject* const* args, int count, VectorCall& call, ArrayView* views, PlainArray* arrays) {
  for (int k = 0; k < count; ++k) {
    if (!plain_array(args[k], arrays[k]) || !is_float(arrays[k]) || arrays[k].dtype != arrays[0].dtype ||
        !same_shape(arrays[k], arrays[0])) {
      return false;
    }
  }
  const std::int64_t features = arrays[0].array->nd > 0 ? arrays[0].array->dimensions[arrays[0].array->nd - 1] : 0;
  if (features == 0) {
    return false;
  }
  for (int k = 0; k < count; ++k) {
    set_view(views[k], arrays[k], 2, arrays[0].size() / features, features);
    call.operands[k] = &views[k];
  }
  call.compute = arrays[0].dtype;
  return true;
}

PyObject* vectors_plain(VectorCall& call, const PlainArray& first, Reduction reduction) {
  const std::int64_t size = first.size();
  call.interrupt = size >= gil_worth ? signals() : Interrupt{};
  Accumulator total;
  return finish(run_plain(call, size, total), total, reduction, first.dtype);
}

/// cosine_embedding_loss(input1, input2, target, margin, reduction)
PyObject* cosine_embedding(PyObject* /*self*/, PyObject* const* args, Py_ssize_t nargs) {
  VectorCall call;
  ArrayView views[3];
  PlainArray arrays[2];
  PlainArray target;
  Reduction reduction{};
  if (nargs != 5 || !read_number(args[3], call.margin) || !read_reduction(args[4], reduction) ||
      !read_vectors(args, 2, call, views, arrays) || !plain_array(args[2], target) || arrays[0].array->nd != 2 ||
      target.array->nd != 1 || target.array->dimensions[0] != arrays[0].array->dimensions[0]) {
    return decline();
  }
  set_view(views[2], target, 1, target.array->dimensions[0], 1);
  call.kind = VectorKind::cosine_embedding;
  call.family = DistanceFamily::cosine;
  call.label = &views[2];
  return vectors_plain(call, arrays[0], reduction);
}

/// triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction)
PyObject* triplet_margin(PyObject* /*self*/, PyObject* const* args, Py_ssize_t nargs) {
  VectorCall call;
  ArrayView views[3];
  PlainArray arrays[3];
  Reduction reduction{};
  if (nargs != 8 || !read_number(args[3], call.margin) || !(call.margin > 0) || !read_number(args[4], call.p) ||
      !read_number(args[5], call.eps) || !PyBool_Check(args[6]) || !read_reduction(args[7], reduction) ||
      !read_vectors(args, 3, call, views, arrays)) {
    return decline();
  }
  call.kind = VectorKind::triplet;
  call.swap = args[6] == Py_True;
  return vectors_plain(call, arrays[0], reduction);
}

template <std::size_t... I>
std::array<PyMethodDef, sizeof...(I) + 7> methods_of(std::index_sequence<I...> /*losses*/) {
  const auto entry = [](const char* name, auto function) {
    return PyMethodDef{name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function)), METH_FASTCALL,
                       "A plain call, or None: see the Python function of this name."};
  };
  return {{entry(registered[I].name, elementwise<I>)..., entry(CrossEntropyLoss::name, cross_entropy),
           entry(NLLLoss::name, nll_loss), entry(MultiMarginLoss::name, multi_margin),
           entry(MultiLabelMarginLoss::name, multilabel_margin), entry(CosineEmbeddingLoss::name, cosine_embedding),
           entry(TripletMarginLoss::name, triplet_margin), PyMethodDef{nullptr, nullptr, 0, nullptr}}};
}

}  // namespace

void bind_plain(py::module_& m) {
  static std::array<PyMethodDef, registered.size() + 7> methods = methods_of(std::make_index_sequence<registered.size()>{});
  const py::module_ numpy = py::module_::import("numpy");
  float32_type = py::object(numpy.attr("float32")).release().ptr();
  float64_type = py::object(numpy.attr("float64")).release().ptr();
  if (PyModule_AddFunctions(m.ptr(), methods.data()) != 0) {
    throw py::error_already_set();
  }
}

}  // namespace ndloss::binding
