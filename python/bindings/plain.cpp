// Plain calls: exact arrays of matching shape and dtype, options that need no conversion. One entry per loss, parsed once; None
// declines, and the Python path then checks, converts or raises. The last argument of each is the dictionary of the options.
#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include "ndloss/sequence.hpp"
#include "ndloss/vectors.hpp"
#include "plain_call.hpp"
#include "registered.hpp"

namespace ndloss::binding {
namespace {

/// An option with one number for each loss element: the view of it, spread over the rows where an element is a row. False
/// declines.
bool spread(const PlainArray& option, const PlainOperands& operands, bool by_row, std::int64_t classes, ArrayView& storage,
            const ArrayView*& view) {
  if (option.array == nullptr) {
    return true;
  }
  const PlainArray& first = operands.first();
  if (option.ndim() != operands.output_ndim ||
      !std::equal(option.array->dimensions, option.array->dimensions + option.ndim(), first.array->dimensions)) {
    return false;
  }
  set_view(storage, option, 1, option.size(), 1);
  if (by_row) {
    storage.ndim = 2;
    storage.shape[1] = classes;
    storage.strides[1] = 0;
  }
  view = &storage;
  return true;
}

/// name(operand, ..., reduction, parameter, ..., options)
template <std::size_t I>
PyObject* elementwise(PyObject* /*self*/, PyObject* const* args, Py_ssize_t nargs) {
  constexpr RegisteredLoss loss = registered[I];
  PlainOptions options;
  Reduction reduction{};
  if (nargs != loss.operands + 2 + loss.parameters || !read_options(args[nargs - 1], options)) {
    return decline();
  }
  const bool by_batch = loss.batch_mean && is_batch_mean(args[loss.operands]);
  if (by_batch) {
    reduction = Reduction::mean;
  } else if (!read_reduction(args[loss.operands], reduction)) {
    return decline();
  }
  PlainArray arrays[max_operands];
  for (int k = 0; k < loss.operands; ++k) {
    if (!plain_array(args[k], arrays[k]) || arrays[k].dtype != arrays[0].dtype || !arrays[k].is_float() ||
        !same_shape(arrays[k], arrays[0])) {
      return decline();
    }
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
  const bool by_row = any.erased.row_mean;
  const std::int64_t size = arrays[0].size();
  if (by_batch) {
    if (size == 0 || arrays[0].ndim() == 0) {
      return decline();
    }
    options.shared = size / arrays[0].length(0);
  }
  std::int64_t classes = size;
  if (by_row) {
    if (arrays[0].ndim() == 0) {
      return decline();
    }
    classes = arrays[0].length(arrays[0].ndim() - 1);
    if (classes == 0) {
      return decline();
    }
  }
  const PlainOperands operands{{arrays, static_cast<std::size_t>(loss.operands)},
                               loss.inputs,
                               arrays[0].ndim() - (by_row ? 1 : 0),
                               arrays[0].array->dimensions};
  ElementwiseCall call{};
  ArrayView views[max_operands + 2];
  call.loss = any.erased;
  for (int k = 0; k < loss.operands; ++k) {
    set_view(views[k], arrays[k], by_row ? 2 : 1, by_row ? size / classes : size, classes);
    call.operands[k] = &views[k];
  }
  if (!spread(options.sample_weight, operands, by_row, classes, views[max_operands], call.sample_weight) ||
      !spread(options.mask, operands, by_row, classes, views[max_operands + 1], call.mask)) {
    return decline();
  }
  call.compute = arrays[0].dtype;
  return answer<ElementwiseGradients>(call, operands, reduction, options, views[0]);
}

/// A call of rows on its way: its arrays and their views.
struct PlainRows {
  RowCall call;
  PlainArray arrays[2];  // input and target
  ArrayView views[4];    // and sample_weight and mask

  /// (N, C) floats and, for each row or for each element, class indices. The classes lie on the axis. False declines.
  [[nodiscard]] bool read(PyObject* const* args, bool sets, PyObject* axis) {
    PlainArray& input = arrays[0];
    PlainArray& target = arrays[1];
    if (!plain_array(args[0], input) || !plain_array(args[1], target) || !input.is_float() || !target.is_index() ||
        input.ndim() != 2 || target.ndim() != (sets ? 2 : 1) || input.length(0) != target.length(0) || input.length(1) == 0 ||
        (sets && input.length(1) != target.length(1)) || !is_last_axis(axis, 2)) {
      return false;
    }
    set_view(views[0], input, 2, input.length(0), input.length(1));
    set_view(views[1], target, target.ndim(), target.length(0), sets ? target.length(1) : 1);
    call.input = &views[0];
    (sets ? call.label_sets : call.labels) = &views[1];
    call.compute = input.dtype;
    return true;
  }

  [[nodiscard]] PyObject* answered(Reduction reduction, const PlainOptions& options) {
    const PlainOperands operands{arrays, 1, 1, arrays[0].array->dimensions};
    if (!spread(options.sample_weight, operands, false, 1, views[2], call.sample_weight) ||
        !spread(options.mask, operands, false, 1, views[3], call.mask)) {
      return decline();
    }
    return answer<RowGradients>(call, operands, reduction, options, views[0]);
  }
};

/// multi_margin_loss(input, target, p, margin, reduction, axis, options)
PyObject* multi_margin(PyObject* /*self*/, PyObject* const* args, Py_ssize_t nargs) {
  PlainRows rows;
  PlainOptions options;
  Reduction reduction{};
  if (nargs != 7 || !read_integer(args[2], rows.call.p) || (rows.call.p != 1 && rows.call.p != 2) ||
      !PyFloat_CheckExact(args[3]) || !read_reduction(args[4], reduction) || !read_options(args[6], options) ||
      !rows.read(args, false, args[5])) {
    return decline();
  }
  rows.call.kind = RowKind::multi_margin;
  rows.call.margin = PyFloat_AS_DOUBLE(args[3]);
  return rows.answered(reduction, options);
}

/// multilabel_margin_loss(input, target, reduction, axis, options)
PyObject* multilabel_margin(PyObject* /*self*/, PyObject* const* args, Py_ssize_t nargs) {
  PlainRows rows;
  PlainOptions options;
  Reduction reduction{};
  if (nargs != 5 || !read_reduction(args[2], reduction) || !read_options(args[4], options) || !rows.read(args, true, args[3])) {
    return decline();
  }
  rows.call.kind = RowKind::multilabel_margin;
  return rows.answered(reduction, options);
}

/// An element of an array of indices.
std::int64_t index_at(const PlainArray& array, std::size_t i) {
  switch (array.dtype) {
    case DType::uint8:
      return reinterpret_cast<const std::uint8_t*>(array.array->data)[i];
    case DType::int32:
      return reinterpret_cast<const std::int32_t*>(array.array->data)[i];
    default:
      return reinterpret_cast<const std::int64_t*>(array.array->data)[i];
  }
}

/// An element of an array.
double number_at(const PlainArray& array, std::size_t i) {
  switch (array.dtype) {
    case DType::float32:
      return static_cast<double>(reinterpret_cast<const float*>(array.array->data)[i]);
    case DType::float64:
      return reinterpret_cast<const double*>(array.array->data)[i];
    default:
      return static_cast<double>(index_at(array, i));
  }
}

/// None, or one weight for each class. False declines.
bool read_weights(PyObject* object, std::int64_t classes, std::vector<double>& weights) {
  PlainArray array;
  if (object == Py_None) {
    return true;
  }
  if (!plain_array(object, array) || array.dtype == DType::boolean || array.ndim() != 1 || array.length(0) != classes) {
    return false;
  }
  weights.resize(static_cast<std::size_t>(classes));
  for (std::size_t c = 0; c < weights.size(); ++c) {
    weights[c] = number_at(array, c);
  }
  return true;
}

/// (input, target, weight, ignore_index, reduction, ..., axis, options)
PyObject* likelihood(RowKind kind, PyObject* const* args, Py_ssize_t nargs, double label_smoothing) {
  PlainRows rows;
  PlainOptions options;
  Reduction reduction{};
  std::vector<double> weights;
  if (!read_integer(args[3], rows.call.ignore_index) || !read_reduction(args[4], reduction) ||
      !read_options(args[nargs - 1], options) || !rows.read(args, false, args[nargs - 2]) ||
      !read_weights(args[2], rows.arrays[0].length(1), weights)) {
    return decline();
  }
  rows.call.kind = kind;
  rows.call.weight = weights;
  rows.call.label_smoothing = label_smoothing;
  return rows.answered(reduction, options);
}

/// cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing, axis, options)
PyObject* cross_entropy(PyObject* /*self*/, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 8 || !PyFloat_CheckExact(args[5])) {
    return decline();
  }
  const double label_smoothing = PyFloat_AS_DOUBLE(args[5]);
  if (!(label_smoothing >= 0 && label_smoothing <= 1)) {
    return decline();
  }
  return likelihood(RowKind::cross_entropy, args, nargs, label_smoothing);
}

/// nll_loss(input, target, weight, ignore_index, reduction, axis, options)
PyObject* nll_loss(PyObject* /*self*/, PyObject* const* args, Py_ssize_t nargs) {
  return nargs == 7 ? likelihood(RowKind::nll, args, nargs, 0.0) : decline();
}

/// A call of vectors on its way: its arrays and their views.
struct PlainVectors {
  VectorCall call;
  PlainArray arrays[3];
  ArrayView views[3];

  /// Arrays of floats of one shape and dtype, seen as rows of the features on their last axis. False declines.
  [[nodiscard]] bool read(PyObject* const* args, int count, PyObject* axis) {
    for (int k = 0; k < count; ++k) {
      if (!plain_array(args[k], arrays[k]) || !arrays[k].is_float() || arrays[k].dtype != arrays[0].dtype ||
          !same_shape(arrays[k], arrays[0])) {
        return false;
      }
    }
    const int ndim = arrays[0].ndim();
    const std::int64_t features = ndim > 0 ? arrays[0].length(ndim - 1) : 0;
    if (features == 0 || !is_last_axis(axis, ndim)) {
      return false;
    }
    for (int k = 0; k < count; ++k) {
      set_view(views[k], arrays[k], 2, arrays[0].size() / features, features);
      call.operands[k] = &views[k];
    }
    call.compute = arrays[0].dtype;
    return true;
  }

  [[nodiscard]] PyObject* answered(int differentiable, Reduction reduction, const PlainOptions& options) {
    if (options.sample_weight.array != nullptr || options.mask.array != nullptr) {
      return decline();
    }
    const PlainOperands operands{arrays, differentiable, arrays[0].ndim() - 1, arrays[0].array->dimensions};
    return answer<VectorGradients>(call, operands, reduction, options, views[0]);
  }
};

/// cosine_embedding_loss(input1, input2, target, margin, reduction, axis, options)
PyObject* cosine_embedding(PyObject* /*self*/, PyObject* const* args, Py_ssize_t nargs) {
  PlainVectors vectors;
  PlainOptions options;
  Reduction reduction{};
  if (nargs != 7 || !read_number(args[3], vectors.call.margin) || !read_reduction(args[4], reduction) ||
      !read_options(args[6], options) || !vectors.read(args, 2, args[5])) {
    return decline();
  }
  PlainArray& target = vectors.arrays[2];
  if (!plain_array(args[2], target) || target.dtype == DType::boolean || vectors.arrays[0].ndim() != 2 || target.ndim() != 1 ||
      target.length(0) != vectors.arrays[0].length(0)) {
    return decline();
  }
  set_view(vectors.views[2], target, 1, target.length(0), 1);
  vectors.call.kind = VectorKind::cosine_embedding;
  vectors.call.family = DistanceFamily::cosine;
  vectors.call.label = &vectors.views[2];
  return vectors.answered(2, reduction, options);
}

/// triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction, axis, options)
PyObject* triplet_margin(PyObject* /*self*/, PyObject* const* args, Py_ssize_t nargs) {
  PlainVectors vectors;
  PlainOptions options;
  Reduction reduction{};
  VectorCall& call = vectors.call;
  if (nargs != 10 || !read_number(args[3], call.margin) || !(call.margin > 0) || !read_number(args[4], call.p) ||
      !read_number(args[5], call.eps) || !PyBool_Check(args[6]) || !read_reduction(args[7], reduction) ||
      !read_options(args[9], options) || !vectors.read(args, 3, args[8])) {
    return decline();
  }
  call.kind = VectorKind::triplet;
  call.swap = args[6] == Py_True;
  return vectors.answered(3, reduction, options);
}

/// A call of CTC, in the words of the other calls.
struct PlainSequences : SequenceCall {};

struct PlainSequenceGradients {
  double scale = 1;
  Output input;
  Output curvature;  // there is none
  Output value;
};

Accumulator accumulate(const PlainSequences& call) { return run(call, Output(), nullptr); }

Accumulator map(const PlainSequences& call, const Output& losses) { return run(call, losses, nullptr); }

Accumulator gradients(const PlainSequences& call, const PlainSequenceGradients& wanted) {
  const SequenceGradients gradients{.scale = wanted.scale, .upstream = {}, .log_probs = wanted.input};
  return run(call, wanted.value, &gradients);
}

double gradient_scale(const PlainSequences& call, Reduction reduction) {
  return reduction == Reduction::mean ? 1.0 / static_cast<double>(call.log_probs->shape[1]) : 1.0;
}

/// One length in [0, largest] for each sample, in an array of integers, a list or a tuple. False declines.
bool read_lengths(PyObject* object, std::int64_t largest, std::vector<std::int64_t>& lengths) {
  PlainArray array;
  const bool listed = PyTuple_CheckExact(object) || PyList_CheckExact(object);
  const auto count = static_cast<Py_ssize_t>(lengths.size());
  if (listed ? PySequence_Fast_GET_SIZE(object) != count
             : !plain_array(object, array) || !array.is_index() || array.ndim() != 1 || array.length(0) != count) {
    return false;
  }
  for (std::size_t n = 0; n < lengths.size(); ++n) {
    if (!listed) {
      lengths[n] = index_at(array, n);
    } else if (!read_integer(PySequence_Fast_ITEMS(object)[n], lengths[n])) {
      return false;
    }
    if (lengths[n] < 0 || lengths[n] > largest) {
      return false;
    }
  }
  return true;
}

/// ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, reduction, zero_infinity, options)
PyObject* ctc(PyObject* /*self*/, PyObject* const* args, Py_ssize_t nargs) {
  PlainArray arrays[2];
  const PlainArray& x = arrays[0];
  const PlainArray& labels = arrays[1];
  PlainOptions options;
  Reduction reduction{};
  PlainSequences call;
  if (nargs != 8 || !plain_array(args[0], arrays[0]) || !x.is_float() || x.ndim() != 3 || x.size() == 0 ||
      !plain_array(args[1], arrays[1]) || !labels.is_index() || labels.ndim() < 1 || labels.ndim() > 2 ||
      !read_integer(args[4], call.loss.blank) || call.loss.blank < 0 || call.loss.blank >= x.length(2) ||
      !read_reduction(args[5], reduction) || !PyBool_Check(args[6]) || !read_options(args[7], options) ||
      options.sample_weight.array != nullptr || options.mask.array != nullptr || options.derivatives == Derivatives::both) {
    return decline();
  }
  const auto samples = static_cast<std::size_t>(x.length(1));
  const bool rows = labels.ndim() == 2;
  std::vector<std::int64_t> input_lengths(samples);
  std::vector<std::int64_t> target_lengths(samples);
  if ((rows && labels.length(0) != x.length(1)) || !read_lengths(args[2], x.length(0), input_lengths) ||
      !read_lengths(args[3], labels.length(rows ? 1 : 0), target_lengths) ||
      (!rows && std::accumulate(target_lengths.begin(), target_lengths.end(), std::int64_t{0}) != labels.length(0))) {
    return decline();
  }
  ArrayView views[2];
  set_view(views[0], x);
  set_view(views[1], labels);
  call.loss.zero_infinity = args[6] == Py_True;
  call.log_probs = &views[0];
  call.compute = views[0].dtype;
  call.target = {views[1], input_lengths, target_lengths};
  call.by_length = reduction == Reduction::mean;
  const PlainOperands operands{arrays, 1, 1, x.array->dimensions + 1};
  return answer<PlainSequenceGradients>(call, operands, reduction, options, views[0]);
}

template <std::size_t... I>
std::array<PyMethodDef, sizeof...(I) + 8> methods_of(std::index_sequence<I...> /*losses*/) {
  const auto entry = [](const char* name, auto function) {
    return PyMethodDef{name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function)), METH_FASTCALL,
                       "A plain call, or None: see the Python function of this name."};
  };
  return {{entry(registered[I].name, elementwise<I>)..., entry(CrossEntropyLoss::name, cross_entropy),
           entry(NLLLoss::name, nll_loss), entry(MultiMarginLoss::name, multi_margin),
           entry(MultiLabelMarginLoss::name, multilabel_margin), entry(CosineEmbeddingLoss::name, cosine_embedding),
           entry(TripletMarginLoss::name, triplet_margin), entry(CTCLoss::name, ctc),
           PyMethodDef{nullptr, nullptr, 0, nullptr}}};
}

}  // namespace

void bind_plain(py::module_& m) {
  static std::array<PyMethodDef, registered.size() + 8> methods = methods_of(std::make_index_sequence<registered.size()>{});
  bind_plain_call(m);
  if (PyModule_AddFunctions(m.ptr(), methods.data()) != 0) {
    throw py::error_already_set();
  }
}

}  // namespace ndloss::binding
