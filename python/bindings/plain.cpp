// Plain calls: exact arrays of matching shapes, options that need no conversion. One entry per loss, parsed once; None
// declines, and the Python path then checks, converts or raises. The dictionary of the options comes after the arguments.
#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include "ndloss/sequence.hpp"
#include "ndloss/vectors.hpp"
#include "plain_answers.hpp"
#include "plain_elementwise.hpp"

namespace ndloss::binding {
namespace {

template <std::size_t I>
PyObject* elementwise(PyObject* /*self*/, PyObject* const* args, Py_ssize_t nargs) {
  return answer_elementwise(registered[I], args, nargs);
}

/// An element of an array of indices; false declines.
bool index_at(const PlainArray& array, std::size_t i, std::int64_t& index) {
  switch (array.dtype) {
    case DType::uint8:
      index = reinterpret_cast<const std::uint8_t*>(array.array->data)[i];
      return true;
    case DType::int32:
      index = reinterpret_cast<const std::int32_t*>(array.array->data)[i];
      return true;
    case DType::int64:
      index = reinterpret_cast<const std::int64_t*>(array.array->data)[i];
      return true;
    default:
      return false;
  }
}

/// An element of an array; false declines.
bool number_at(const PlainArray& array, std::size_t i, double& number) {
  std::int64_t index = 0;
  switch (array.dtype) {
    case DType::float32:
      number = static_cast<double>(reinterpret_cast<const float*>(array.array->data)[i]);
      return true;
    case DType::float64:
      number = reinterpret_cast<const double*>(array.array->data)[i];
      return true;
    default:
      if (!index_at(array, i, index)) {
        return false;
      }
      number = static_cast<double>(index);
      return true;
  }
}

/// A call of rows on its way: its arrays and their views.
struct PlainRows {
  RowCall call;
  PlainArray arrays[2];  // input and target
  ArrayView views[4];    // and sample_weight and mask
  Py_ssize_t rows[max_dims];
  std::vector<double> weights;

  /// (N, C, d1, ...) and, for each row or for each element, class indices. The classes lie on the axis. False declines.
  [[nodiscard]] bool read(PyObject* const* args, bool sets, PyObject* axis) {
    PlainArray& input = arrays[0];
    PlainArray& target = arrays[1];
    if (!plain_array(args[0], input) || !plain_array(args[1], target) || input.ndim() == 0) {
      return false;
    }
    const int ndim = input.ndim();
    call.axis = ndim > 1 ? 1 : 0;
    if (!read_axis(axis, ndim, call.axis) || input.length(call.axis) == 0) {
      return false;
    }
    for (int d = 0, to = 0; d < ndim; ++d) {
      if (d != call.axis) {
        rows[to++] = input.length(d);
      }
    }
    if (!(target.is_index() && (sets ? target.has_shape(ndim, input.shape()) : target.has_shape(ndim - 1, rows)))) {
      if (sets || !target.is_float() || !target.has_shape(ndim, input.shape())) {
        return false;
      }
      call.probabilities = &views[1];
    } else {
      (sets ? call.label_sets : call.labels) = &views[1];
    }
    set_view(views[0], input);
    set_view(views[1], target);
    call.input = &views[0];
    return true;
  }

  /// (N, C) alone.
  [[nodiscard]] bool read_scores(PyObject* const* args, bool sets, PyObject* axis) {
    return read(args, sets, axis) && arrays[0].ndim() == 2 && call.probabilities == nullptr;
  }

  /// None, or one weight for each class. False declines.
  [[nodiscard]] bool read_weights(PyObject* object) {
    if (object == Py_None) {
      return true;
    }
    PlainArray array;
    if (!plain_array(object, array) || !array.in_place() || array.ndim() != 1 ||
        array.length(0) != arrays[0].length(call.axis)) {
      return false;
    }
    weights.resize(static_cast<std::size_t>(array.length(0)));
    for (std::size_t c = 0; c < weights.size(); ++c) {
      if (!number_at(array, c, weights[c])) {
        return false;
      }
    }
    call.weight = weights;
    return true;
  }

  [[nodiscard]] PyObject* answered(Reduction reduction, const PlainOptions& options) {
    const std::size_t differentiable = call.probabilities != nullptr ? 2 : 1;
    const std::span<const PlainArray> typed{arrays, differentiable};
    const PlainOperands operands(arrays, typed, static_cast<int>(differentiable), arrays[0].ndim() - 1, rows, options);
    if (!spread(options.sample_weight, operands, false, 1, views[2], call.sample_weight) ||
        !spread(options.mask, operands, false, 1, views[3], call.mask)) {
      return decline();
    }
    call.compute = operands.compute;
    return answer<RowGradients>(call, operands, reduction, options);
  }
};

/// multi_margin_loss(input, target, p, margin, weight, reduction, axis, options)
PyObject* multi_margin(PyObject* /*self*/, PyObject* const* args, Py_ssize_t nargs) {
  PlainRows rows;
  PlainOptions options;
  Reduction reduction{};
  if (nargs != 8 || !read_integer(args[2], rows.call.p) || (rows.call.p != 1 && rows.call.p != 2) ||
      !PyFloat_CheckExact(args[3]) || !read_reduction(args[5], reduction) || !read_options(args[7], options) ||
      !rows.read_scores(args, false, args[6]) || !rows.read_weights(args[4])) {
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
  if (nargs != 5 || !read_reduction(args[2], reduction) || !read_options(args[4], options) ||
      !rows.read_scores(args, true, args[3])) {
    return decline();
  }
  rows.call.kind = RowKind::multilabel_margin;
  return rows.answered(reduction, options);
}

/// (input, target, weight, ignore_index, reduction, ..., axis, options)
PyObject* likelihood(RowKind kind, PyObject* const* args, Py_ssize_t nargs, double label_smoothing) {
  PlainRows rows;
  PlainOptions options;
  Reduction reduction{};
  if (!read_integer(args[3], rows.call.ignore_index) || !read_reduction(args[4], reduction) ||
      !read_options(args[nargs - 1], options) || !rows.read(args, false, args[nargs - 2]) || !rows.read_weights(args[2]) ||
      (rows.call.probabilities != nullptr && (kind == RowKind::nll || rows.call.ignore_index >= 0))) {
    return decline();
  }
  rows.call.kind = kind;
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

  /// Arrays of one shape, with the features on their last axis. False declines.
  [[nodiscard]] bool read(PyObject* const* args, int count, PyObject* axis) {
    for (int k = 0; k < count; ++k) {
      if (!plain_array(args[k], arrays[k]) || !arrays[k].has_shape(arrays[0].ndim(), arrays[0].shape())) {
        return false;
      }
      set_view(views[k], arrays[k]);
      call.operands[k] = &views[k];
    }
    const int last = arrays[0].ndim() - 1;
    int place = last;
    return last >= 0 && arrays[0].length(last) > 0 && read_axis(axis, last + 1, place) && place == last;
  }

  [[nodiscard]] PyObject* answered(int differentiable, Reduction reduction, const PlainOptions& options) {
    if (options.sample_weight.array != nullptr || options.mask.array != nullptr) {
      return decline();
    }
    const std::span<const PlainArray> typed{arrays, static_cast<std::size_t>(differentiable)};
    const std::span<const PlainArray> read{arrays, call.label == nullptr ? typed.size() : typed.size() + 1};
    const PlainOperands operands(read, typed, differentiable, arrays[0].ndim() - 1, arrays[0].shape(), options);
    call.compute = operands.compute;
    return answer<VectorGradients>(call, operands, reduction, options);
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
  if (!plain_array(args[2], target) || vectors.arrays[0].ndim() != 2 || !target.has_shape(1, vectors.arrays[0].shape())) {
    return decline();
  }
  set_view(vectors.views[2], target);
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
             : !plain_ndarray(object, array) || !array.in_place() || array.ndim() != 1 || array.length(0) != count) {
    return false;
  }
  for (std::size_t n = 0; n < lengths.size(); ++n) {
    if (!(listed ? read_integer(PySequence_Fast_ITEMS(object)[n], lengths[n]) : index_at(array, n, lengths[n])) ||
        lengths[n] < 0 || lengths[n] > largest) {
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
  if (nargs != 8 || !plain_ndarray(args[0], arrays[0]) || !x.in_place() || item_size(x.dtype) < 4 || !x.is_float() ||
      x.ndim() != 3 || x.size() == 0 || !plain_ndarray(args[1], arrays[1]) || !labels.is_index() || !labels.in_place() ||
      labels.ndim() < 1 || labels.ndim() > 2 || !read_integer(args[4], call.loss.blank) || call.loss.blank < 0 ||
      call.loss.blank >= x.length(2) || !read_reduction(args[5], reduction) || !PyBool_Check(args[6]) ||
      !read_options(args[7], options) || options.sample_weight.array != nullptr || options.mask.array != nullptr ||
      options.derivatives == Derivatives::both || options.dtype) {
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
  const std::span<const PlainArray> typed{arrays, 1};
  const PlainOperands operands(arrays, typed, 1, 1, x.shape() + 1, options);
  return answer<PlainSequenceGradients>(call, operands, reduction, options);
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
  bind_plain_arrays(m);
  bind_plain_call(m);
  if (PyModule_AddFunctions(m.ptr(), methods.data()) != 0) {
    throw py::error_already_set();
  }
}

}  // namespace ndloss::binding
