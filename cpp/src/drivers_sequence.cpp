// Sequence losses over a batch: checks, scratch, one sample for each task.
#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>
#include <numeric>
#include <string>
#include <vector>

#include "blocks.hpp"
#include "kernel_table.hpp"
#include "ndloss/sequence.hpp"
#include "store.hpp"

namespace ndloss {
namespace {

/// Nanoseconds of one thread for a state of a frame, a frame, and a class of a gradient's row, roughly.
constexpr double state_cost = 1.0;
constexpr double frame_cost = 50.0;
constexpr double class_cost = 0.5;

/// Nanoseconds between two looks at the interrupt hook.
constexpr double slice_cost = 5e7;

void require(bool condition, const std::string& what) {
  if (!condition) {
    throw std::invalid_argument(std::string(CTCLoss::name) + ": " + what);
  }
}

std::string text(std::int64_t number) { return std::to_string(number); }

/// a * b + c of numbers that are not negative; too many to be had is bad_alloc.
std::int64_t checked(std::int64_t a, std::int64_t b, std::int64_t c) {
  std::int64_t product = 0;
  std::int64_t result = 0;
  if (__builtin_mul_overflow(a, b, &product) || __builtin_add_overflow(product, c, &result)) {
    throw std::bad_alloc();
  }
  return result;
}

/// A call's lengths, copied before they are checked: whoever changes them meanwhile changes nothing here.
struct Lengths {
  std::vector<std::int64_t> input;
  std::vector<std::int64_t> target;
  std::vector<std::int64_t> offset;  // bytes from the first label of all to a sample's first
  std::int64_t most_frames = 0;
  std::int64_t most_labels = 0;

  explicit Lengths(const SequenceCall& call)
      : input(call.target.input_lengths.begin(), call.target.input_lengths.end()),
        target(call.target.target_lengths.begin(), call.target.target_lengths.end()) {
    const ArrayView& x = *call.log_probs;
    const ArrayView& labels = call.target.labels;
    const std::int64_t batch = x.shape[1];
    require(static_cast<std::int64_t>(input.size()) == batch && static_cast<std::int64_t>(target.size()) == batch,
            "input_lengths and target_lengths must have one element for each of " + text(batch) + " samples");
    require(is_integer(labels.dtype) && (labels.ndim == 1 || labels.ndim == 2),
            "targets must hold class indices, in one or two dimensions");
    require(labels.ndim == 1 || labels.shape[0] == batch, "targets must have one row for each of " + text(batch) + " samples");
    std::int64_t sum = 0;
    offset.reserve(input.size());
    for (std::size_t n = 0; n < input.size(); ++n) {
      require(input[n] >= 0 && input[n] <= x.shape[0],
              "input_lengths[" + std::to_string(n) + "] is " + text(input[n]) + ", outside [0, " + text(x.shape[0]) + "]");
      require(target[n] >= 0 && target[n] <= labels.shape[static_cast<std::size_t>(labels.ndim - 1)],
              "target_lengths[" + std::to_string(n) + "] is " + text(target[n]) + ", outside [0, " +
                  text(labels.shape[static_cast<std::size_t>(labels.ndim - 1)]) + "]");
      offset.push_back(labels.ndim == 2 ? static_cast<std::int64_t>(n) * labels.strides[0] : sum * labels.strides[0]);
      sum = checked(1, sum, target[n]);
      most_frames = std::max(most_frames, input[n]);
      most_labels = std::max(most_labels, target[n]);
    }
    require(labels.ndim == 2 || sum == labels.shape[0],
            "targets has " + text(labels.shape[0]) + " labels, expected " + text(sum) + ", the sum of target_lengths");
  }
};

/// Copies a sample's labels and checks the copy.
class LabelReader {
 public:
  LabelReader(const SequenceCall& call, const Lengths& lengths)
      : lengths_(lengths), view_(call.target.labels), classes_(call.log_probs->shape[2]) {
    copy_ =
        active_kernels().pack->label.pack[static_cast<int>(view_.dtype)][view_.swapped && item_size(view_.dtype) > 1 ? 1 : 0];
  }

  BadValue read(std::int64_t sample, std::int64_t* to) const {
    const std::int64_t count = lengths_.target[static_cast<std::size_t>(sample)];
    const char* from = static_cast<const char*>(view_.data) + lengths_.offset[static_cast<std::size_t>(sample)];
    if (count > 0) {
      copy_(from, view_.strides[static_cast<std::size_t>(view_.ndim - 1)], count, to, 1);
    }
    BadValue bad;
    for (std::int64_t i = 0; i < count; ++i) {
      if (to[i] < 0 || to[i] >= classes_) {
        bad.merge({.index = sample * lengths_.most_labels + i, .value = static_cast<std::uint64_t>(to[i]), .operand = 1});
      }
    }
    return bad;
  }

 private:
  const Lengths& lengths_;
  const ArrayView& view_;
  std::int64_t classes_;
  void (*copy_)(const char* from, std::ptrdiff_t stride, std::ptrdiff_t count, std::int64_t* to, std::ptrdiff_t to_stride);
};

/// The memory of one thread: numbers of the recursion, labels, places, and a sample's frames where they cannot stay where they
/// are.
struct Room {
  std::int64_t numbers;
  std::int64_t labels;
  std::int64_t places;
  std::int64_t frames;

  Room(const Lengths& lengths, std::int64_t classes, bool gradient, bool copied) {
    const std::int64_t width = ctc_width(checked(1, lengths.most_labels, 0));
    if (lengths.most_labels > (std::int64_t{1} << 48) || lengths.most_frames > (std::int64_t{1} << 48)) {
      throw std::bad_alloc();
    }
    numbers = checked(ctc_rows(lengths.most_frames, gradient), ctc_row(width), ctc_numbers(0, width));
    labels = width;
    places = gradient ? ctc_places(width, classes) : 0;
    frames = copied ? checked(lengths.most_frames, classes, 0) : 0;
  }

  [[nodiscard]] std::size_t bytes(int threads) const {
    const std::int64_t each = checked(8, checked(1, numbers, checked(1, labels, checked(1, places, frames))), 64);
    static_cast<void>(checked(each, threads, 64));
    return static_cast<std::size_t>(each);
  }
};

/// Whether the kernels can read log-probabilities where they are: classes side by side, aligned, in this machine's order.
template <class T>
bool reads_in_place(const ArrayView& x) {
  constexpr auto item = static_cast<std::int64_t>(sizeof(T));
  const auto places = std::bit_cast<std::uintptr_t>(x.data) | static_cast<std::uintptr_t>(x.strides[0]) |
                      static_cast<std::uintptr_t>(x.strides[1]);
  return x.dtype == dtype_of<T>() && !x.swapped && (x.strides[2] == item || x.shape[2] == 1) && places % sizeof(T) == 0;
}

/// Copies a sample's frames to rows of classes, one after the other.
template <class T>
void copy_frames(const ArrayView& x, std::int64_t sample, std::int64_t frames, T* to) {
  const std::int64_t classes = x.shape[2];
  const bool swapped = x.swapped && item_size(x.dtype) > 1;
  const auto copy = active_pack<T>().pack[static_cast<int>(x.dtype)][swapped ? 1 : 0];
  const char* from = static_cast<const char*>(x.data) + sample * x.strides[1];
  if (std::abs(x.strides[2]) > std::abs(x.strides[0])) {
    for (std::int64_t c = 0; c < classes; ++c) {
      copy(from + c * x.strides[2], x.strides[0], frames, to + c, classes);
    }
    return;
  }
  for (std::int64_t t = 0; t < frames; ++t) {
    copy(from + t * x.strides[0], x.strides[2], classes, to + t * classes, 1);
  }
}

/// Where the gradient of log-probabilities goes, given their shape.
ArrayView places_of(const Output& grad, const ArrayView& x) {
  if (grad.layout != nullptr) {
    return *grad.layout;
  }
  ArrayView places = x;
  places.data = grad.data;
  places.dtype = grad.dtype;
  places.swapped = false;
  std::int64_t stride = item_size(grad.dtype);
  for (const std::size_t d : {2U, 1U, 0U}) {
    places.strides[d] = stride;
    stride *= x.shape[d];
  }
  return places;
}

/// Puts a sample's rows where its gradient belongs, and 0 behind its last frame.
template <class T>
void store_frames(const ArrayView& grad, std::int64_t sample, std::int64_t frames, const T* rows) {
  const std::int64_t classes = grad.shape[2];
  const std::int64_t item = item_size(grad.dtype);
  Strided array;
  array.dtype = grad.dtype;
  array.swapped = grad.swapped;
  char* to = static_cast<char*>(const_cast<void*>(grad.data)) + sample * grad.strides[1];
  for (std::int64_t t = 0; t < grad.shape[0]; ++t, to += grad.strides[0]) {
    if (t >= frames && grad.strides[2] == item) {
      std::memset(to, 0, static_cast<std::size_t>(classes * item));
    } else if (t >= frames) {
      for (std::int64_t c = 0; c < classes; ++c) {
        std::memset(to + c * grad.strides[2], 0, static_cast<std::size_t>(item));
      }
    } else if (rows != nullptr) {
      store_numbers(rows + t * classes, 1, classes, array, to, grad.strides[2]);
    }
  }
}

template <class T>
Accumulator run_as(const SequenceCall& call, const Output& value, const SequenceGradients* wanted) {
  const ArrayView& x = *call.log_probs;
  const std::int64_t frames = x.shape[0];
  const std::int64_t batch = x.shape[1];
  const std::int64_t classes = x.shape[2];
  const Lengths lengths(call);
  const LabelReader labels(call, lengths);
  const bool reads = reads_in_place<T>(x);
  const ArrayView grad_places = wanted != nullptr ? places_of(wanted->log_probs, x) : ArrayView();
  const bool writes = wanted == nullptr || reads_in_place<T>(grad_places);
  const Room room(lengths, classes, wanted != nullptr, !reads || !writes);
  const double states = static_cast<double>(2 * lengths.most_labels + 1) * state_cost * (wanted != nullptr ? 3.0 : 1.0);
  const double row = wanted != nullptr ? static_cast<double>(classes) * class_cost : 0.0;
  const double sample_cost =
      static_cast<double>(lengths.most_frames) * (states + frame_cost) + static_cast<double>(frames) * row + 100;
  const int threads =
      threads_for(static_cast<std::int64_t>(std::min(sample_cost * static_cast<double>(batch), 1e15)), call.threads);
  const Scratch scratch(threads, room.bytes(threads));
  const double in_slice = std::max(slice_cost / sample_cost, 1.0) * threads;
  const Grid grid = {.slice = static_cast<std::int64_t>(std::min(in_slice, static_cast<double>(slice_blocks))), .task = 1};
  const SequenceTable<T>& kernels = active_sequence<T>();
  return reduce_blocks(
      call.initial, batch, threads, call.interrupt,
      [&](std::int64_t n, int thread, Part& part) {
        const auto at = static_cast<std::size_t>(n);
        CtcSample sample;
        sample.numbers = scratch.of<double>(thread);
        auto* label = reinterpret_cast<std::int64_t*>(sample.numbers + room.numbers);
        sample.places = label + room.labels;
        sample.label = label;
        sample.labels = lengths.target[at];
        sample.log_probs = static_cast<const char*>(x.data) + n * x.strides[1];
        sample.frame_stride = x.strides[0];
        sample.frames = lengths.input[at];
        auto* copied = reinterpret_cast<T*>(sample.places + room.places);
        sample.classes = classes;
        sample.blank = call.loss.blank;
        const BadValue bad = labels.read(n, label);
        if (bad.found()) {
          return bad;
        }
        if (!reads) {
          copy_frames(x, n, sample.frames, copied);
          sample.log_probs = reinterpret_cast<const char*>(copied);
          sample.frame_stride = classes * static_cast<std::int64_t>(sizeof(T));
        }
        const double weight = call.sample_weight.empty() ? 1.0 : call.sample_weight[at];
        const double divisor = call.by_length ? static_cast<double>(std::max<std::int64_t>(sample.labels, 1)) : 1.0;
        double loss = 0;
        if (wanted != nullptr) {
          const double upstream = weight * (wanted->upstream.empty() ? 1.0 : wanted->upstream[at]);
          // A row of the gradient may take the place of its frame, which is not read again.
          char* place = static_cast<char*>(const_cast<void*>(grad_places.data)) + n * grad_places.strides[1];
          T* grad = writes ? reinterpret_cast<T*>(place) : copied;
          loss = kernels.ctc_gradient(sample, wanted->scale * upstream / divisor, call.loss.zero_infinity, grad,
                                      writes ? grad_places.strides[0] / static_cast<std::int64_t>(sizeof(T)) : classes);
          store_frames<T>(grad_places, n, sample.frames, writes ? nullptr : copied);
        } else {
          loss = kernels.ctc_value(sample);
        }
        loss = weight * call.loss.kept(loss);
        if (value.wanted()) {
          static_cast<T*>(value.data)[n] = static_cast<T>(loss);
        }
        part.add(loss / divisor, weight);
        part.count += 1;
        return BadValue{};
      },
      grid);
}

}  // namespace

Accumulator run(const SequenceCall& call, const Output& value, const SequenceGradients* wanted) {
  const ArrayView& x = *call.log_probs;
  require(x.ndim == 3, "log_probs must have 3 dimensions, got " + std::to_string(x.ndim));
  require(x.size() > 0, "log_probs must not be empty");
  require(call.threads >= 0, "threads must be at least 0, got " + std::to_string(call.threads));
  require(call.loss.blank >= 0 && call.loss.blank < x.shape[2],
          "blank is " + text(call.loss.blank) + ", outside [0, " + text(x.shape[2]) + ")");
  require(call.compute == DType::float32 || call.compute == DType::float64, "log_probs must be float32 or float64");
  require(!value.wanted() || (value.size == x.shape[1] && value.dtype == call.compute),
          "out must have one number of log_probs' type for each of " + text(x.shape[1]) + " samples");
  require(call.sample_weight.empty() || static_cast<std::int64_t>(call.sample_weight.size()) == x.shape[1],
          "sample_weight must have one number for each of " + text(x.shape[1]) + " samples");
  if (wanted != nullptr) {
    require(wanted->log_probs.size == x.size(), "grad must have the " + text(x.size()) + " elements of log_probs");
    const ArrayView* const layout = wanted->log_probs.layout;
    require(layout == nullptr || (layout->ndim == 3 && std::equal(x.shape.begin(), x.shape.begin() + 3, layout->shape.begin())),
            "a grad with a layout must have the shape of log_probs");
    require(wanted->upstream.empty() || static_cast<std::int64_t>(wanted->upstream.size()) == x.shape[1],
            "upstream must have one number for each of " + text(x.shape[1]) + " samples");
  }
  return call.compute == DType::float64 ? run_as<double>(call, value, wanted) : run_as<float>(call, value, wanted);
}

double gradient_scale(const SequenceCall& call, Reduction reduction) {
  double divisor = static_cast<double>(call.log_probs->shape[1]);
  if (!call.sample_weight.empty()) {
    divisor = std::accumulate(call.sample_weight.begin(), call.sample_weight.end(), 0.0);
  }
  return reduction != Reduction::mean ? 1.0 : divisor != 0 ? 1.0 / divisor : math::nan<double>;
}

void SequenceCallStorage::complete(const Options& options) {
  call.threads = options.threads;
  call.interrupt = options.interrupt;
  require(options.weight == nullptr, "takes no weight per element; sample_weight has one number for each sample");
  if (options.sample_weight != nullptr) {
    const ArrayView& weights = *options.sample_weight;
    const std::int64_t batch = log_probs_view.shape[1];
    require(weights.ndim == 1 && weights.shape[0] == batch,
            "sample_weight must have one number for each of " + text(batch) + " samples");
    sample_weights.resize(static_cast<std::size_t>(batch));
    const bool swapped = weights.swapped && item_size(weights.dtype) > 1;
    const auto copy = active_pack<double>().pack[static_cast<int>(weights.dtype)][swapped ? 1 : 0];
    copy(static_cast<const char*>(weights.data), weights.strides[0], batch, sample_weights.data(), 1);
    call.sample_weight = sample_weights;
  }
}

void throw_if_bad_label(const Accumulator& total, const SequenceCall& call) {
  if (total.bad.found()) {
    const auto& lengths = call.target.target_lengths;
    const std::int64_t most = std::max<std::int64_t>(*std::max_element(lengths.begin(), lengths.end()), 1);
    const std::string value = text(static_cast<std::int64_t>(total.bad.value));
    throw std::out_of_range(std::string(CTCLoss::name) + ": label " + text(total.bad.index % most) + " of sample " +
                            text(total.bad.index / most) + " is " + value + ", outside [0, " + text(call.log_probs->shape[2]) +
                            "). Target " + value + " is out of bounds.");
  }
}

}  // namespace ndloss
