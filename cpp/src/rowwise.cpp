// Row losses: dispatch, divisors, and the checks of the C++ interface.
#include <algorithm>
#include <string>

#include "ndloss/math.hpp"
#include "row_driver.hpp"

namespace ndloss {
namespace {

const char* name_of(RowKind kind) {
  switch (kind) {
    case RowKind::nll:
      return NLLLoss::name;
    case RowKind::multi_margin:
      return MultiMarginLoss::name;
    case RowKind::multilabel_margin:
      return MultiLabelMarginLoss::name;
    default:
      return CrossEntropyLoss::name;
  }
}

void require(bool condition, const char* name, const std::string& what) {
  if (!condition) {
    throw std::invalid_argument(std::string(name) + ": " + what);
  }
}

Accumulator run(const RowCall& call, const RowGradients* wanted, const Output& value) {
  switch (call.kind) {
    case RowKind::nll:
      return run_nll(call, wanted, value);
    case RowKind::multi_margin:
    case RowKind::multilabel_margin:
      return run_margin(call, wanted, value);
    default:
      return run_cross_entropy(call, wanted, value);
  }
}

/// Rows whose labels are looked at together where a divisor is counted.
constexpr std::int64_t counted_rows = 256;

/// Whether some rows all count 1: labels that are classes, of a call without weights that ignores no class. Labels are looked
/// at where they stand if they can be, else some are copied.
bool all_count(const RowDriver<double>& driver, std::int64_t row, std::int64_t rows) {
  const RowCall& call = driver.call;
  const RowWalk& walk = driver.walk;
  if (call.labels == nullptr || call.selects() || !call.weight.empty() || !walk.even(row, rows)) {
    return false;
  }
  const LabelRule rule = label_rule(call, walk);
  if (rule.can_ignore && static_cast<std::uint64_t>(rule.ignored) < rule.classes) {
    return false;
  }
  const RowOffsets offsets = walk.offsets(row, static_cast<int>(rows));
  const char* first = walk.array(label_array).data + offsets.at(label_array, 0);
  const auto inside = active_kernels().margin->inside;
  if (native_at<std::int64_t>(walk.array(label_array), first) && walk.adjacent(label_array, row, rows, sizeof(std::int64_t))) {
    return inside(reinterpret_cast<const std::int64_t*>(first), rows, 0, walk.classes());
  }
  if (rows > counted_rows) {
    return false;
  }
  std::int64_t labels[counted_rows];
  copy_labels(walk, offsets, static_cast<int>(rows), labels);
  return inside(labels, rows, 0, walk.classes());
}

/// Σ of the kept rows' weights, reading labels, sample weights and mask alone.
double label_divisor(const RowCall& call) {
  const RowDriver<double> driver(call, nullptr, nullptr);
  const std::int64_t rows = driver.end - call.begin;
  const int threads = threads_for(rows * 2, call.threads);
  return reduce_blocks(Accumulator(), (rows + nll_rows_per_block - 1) / nll_rows_per_block, threads, call.interrupt,
                       [&](std::int64_t block, int /*thread*/, Part& part) {
                         const std::int64_t begin = call.begin + block * nll_rows_per_block;
                         const std::int64_t end = std::min(begin + nll_rows_per_block, driver.end);
                         if (all_count(driver, begin, end - begin)) {
                           part.add(0.0, static_cast<double>(end - begin));
                           return BadValue{};
                         }
                         for (std::int64_t first = begin; first < end; first += counted_rows) {
                           const std::int64_t last = std::min(first + counted_rows, end);
                           if (all_count(driver, first, last - first)) {
                             part.add(0.0, static_cast<double>(last - first));
                             continue;
                           }
                           for (std::int64_t row = first; row < last; row += tile_rows) {
                             const int count = static_cast<int>(std::min<std::int64_t>(tile_rows, last - row));
                             TileLabels labels;
                             read_labels(call, driver.walk, driver.walk.offsets(row, count), row, count, labels);
                             const math::Pair<double> share = driver.divisor(labels, count);
                             part.add(0.0, share.head);
                             part.weight_carry += share.tail;
                           }
                         }
                         return BadValue{};
                       })
      .divisor();
}

/// Whether the second derivative is anything but 0.
bool is_curved(const RowCall& call) {
  return call.kind == RowKind::cross_entropy || (call.kind == RowKind::multi_margin && call.p == 2);
}

std::int64_t rows_of(const RowCall& call) {
  std::int64_t rows = 1;
  for (int d = 0; d < call.input->ndim; ++d) {
    rows *= d == call.axis ? 1 : call.input->shape[static_cast<std::size_t>(d)];
  }
  return rows;
}

}  // namespace

Accumulator accumulate(const RowCall& call) { return run(call, nullptr, Output()); }

Accumulator map(const RowCall& call, const Output& value) {
  require(value.size == rows_of(call), name_of(call.kind),
          "out has " + std::to_string(value.size) + " elements, expected " + std::to_string(rows_of(call)));
  return run(call, nullptr, value);
}

Accumulator gradients(const RowCall& call, const RowGradients& wanted) {
  if (!wanted.curvature.wanted() || is_curved(call)) {
    return run(call, &wanted, wanted.value);
  }
  RowGradients slopes = wanted;
  slopes.curvature = Output();
  const Accumulator total = run(call, &slopes, wanted.value);
  // At the end: it may stand where an operand did.
  clear(wanted.curvature);
  return total;
}

std::int64_t row_block(RowKind kind, std::int64_t classes) {
  if (!is_likelihood(kind)) {
    return margin_rows_per_block(kind, classes);
  }
  return kind == RowKind::nll ? nll_rows_per_block : softmax_rows_per_block(classes);
}

double gradient_scale(const RowCall& call, Reduction reduction) {
  if (reduction != Reduction::mean) {
    return 1.0;
  }
  const bool weighted = call.selects() || (call.labels != nullptr && is_likelihood(call.kind));
  const double divisor = weighted ? label_divisor(call) : static_cast<double>(rows_of(call));
  return divisor != 0 ? 1.0 / divisor : math::nan<double>;
}

RowGradients checked_gradients(const RowCall& call, const Output& grad, Reduction reduction) {
  require(grad.size == call.input->size(), name_of(call.kind),
          "grad has " + std::to_string(grad.size) + " elements, expected " + std::to_string(call.input->size()));
  RowGradients wanted;
  wanted.input = grad;
  wanted.scale = gradient_scale(call, reduction);
  return wanted;
}

void throw_if_bad_row(const BadValue& bad, const char* name, std::int64_t classes, int lowest_label) {
  if (bad.found()) {
    const std::string value = std::to_string(static_cast<std::int64_t>(bad.value));
    throw std::out_of_range(std::string(name) + ": target[" + std::to_string(bad.index) + "] is " + value + ", outside [" +
                            std::to_string(lowest_label) + ", " + std::to_string(classes) + "). Target " + value +
                            " is out of bounds.");
  }
}

void RowCallStorage::complete(const char* name, const Options& options) {
  call.input = &input_view;
  call.axis = 1;
  call.threads = options.threads;
  call.interrupt = options.interrupt;
  require(options.threads >= 0, name, "threads must be at least 0, got " + std::to_string(options.threads));
  require(options.weight == nullptr, name, "takes no weight per element; class weights are a field of the loss");
  const std::int64_t classes = input_view.shape[1];
  require(call.weight.empty() || static_cast<std::int64_t>(call.weight.size()) == classes, name,
          "weight has " + std::to_string(call.weight.size()) + " elements, expected one for each of " +
              std::to_string(classes) + " classes");
  require(call.label_smoothing >= 0 && call.label_smoothing <= 1, name,
          "label_smoothing must be between 0 and 1, got " + std::to_string(call.label_smoothing));
  const std::int64_t rows = rows_of(call);
  if (input_view.dtype == DType::float64) {
    call.compute = DType::float64;
  }
  require(call.p == 1 || call.p == 2, name, "p must be 1 or 2, got " + std::to_string(call.p));
  require(is_likelihood(call.kind) || input_view.shape[2] == 1, name, "inner must be 1");
  if (options.sample_weight != nullptr) {
    weight_view = *options.sample_weight;
    require(shape_as_rows(weight_view), name, "sample_weight must have one number for each row");
    call.sample_weight = &weight_view;
  }
  if (call.kind == RowKind::multilabel_margin) {
    require(is_integer(target_view.dtype), name, "target must hold class indices");
    shape_as_input(name, "class indices");
    call.label_sets = &target_view;
    return;
  }
  if (is_integer(target_view.dtype)) {
    require(target_view.size() == rows, name,
            "target has " + std::to_string(target_view.size()) + " class indices, expected " + std::to_string(rows));
    require(shape_as_rows(target_view), name, "target must have one class index for each row");
    call.labels = &target_view;
    return;
  }
  require(call.kind == RowKind::cross_entropy, name, "target must hold class indices");
  shape_as_input(name, "probabilities");
  call.probabilities = &target_view;
}

bool RowCallStorage::shape_as_rows(ArrayView& view) const {
  const std::int64_t rows = input_view.shape[0];
  const std::int64_t inner = input_view.shape[2];
  if (view.ndim == 1 && view.shape[0] == rows * inner) {
    const std::int64_t stride = view.strides[0];
    view.ndim = 2;
    view.shape[0] = rows;
    view.shape[1] = inner;
    view.strides[0] = stride * inner;
    view.strides[1] = stride;
  }
  return view.ndim == 2 && view.shape[0] == rows && view.shape[1] == inner;
}

void RowCallStorage::shape_as_input(const char* name, const char* what) {
  require(target_view.size() == input_view.size(), name,
          "target has " + std::to_string(target_view.size()) + " " + what + ", expected " + std::to_string(input_view.size()));
  if (target_view.ndim != 3) {
    require(target_view.ndim == 1 && target_view.strides[0] == item_size(target_view.dtype), name,
            std::string(what) + " must be contiguous or of shape (rows, classes, inner)");
    const DType dtype = target_view.dtype;
    const std::int64_t item = item_size(dtype);
    target_view.ndim = 3;
    for (std::size_t d = 0; d < 3; ++d) {
      target_view.shape[d] = input_view.shape[d];
    }
    target_view.strides[2] = item;
    target_view.strides[1] = item * input_view.shape[2];
    target_view.strides[0] = target_view.strides[1] * input_view.shape[1];
  }
}

}  // namespace ndloss
