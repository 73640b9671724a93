// Rows of vectors over whole arrays: tiles of rows, packed where they are not plain, folded by the kernels, joined in order.
#include <algorithm>
#include <cstdlib>
#include <string>

#include "blocks.hpp"
#include "layout.hpp"
#include "ndloss/vectors.hpp"
#include "row_walk.hpp"
#include "vector_rows.hpp"

namespace ndloss {
namespace {

/// Elements of one operand that a block, and a tile within it, is to hold: the tile stays in L1 or L2 for its gradients.
constexpr std::int64_t block_elements = 16384;
constexpr std::int64_t tile_elements = 4096;
constexpr std::int64_t most_block_rows = 1024;

/// Nanoseconds of one thread per element of an operand, roughly: of sums, and of powers.
constexpr double sum_cost = 0.4;
constexpr double power_cost = 10.0;

std::int64_t block_rows(std::int64_t features) {
  const std::int64_t rows = std::clamp<std::int64_t>(block_elements / std::max<std::int64_t>(features, 1), 1, most_block_rows);
  return rows < vector_tile_rows ? rows : rows / vector_tile_rows * vector_tile_rows;
}

std::int64_t tile_size(std::int64_t features) {
  return std::clamp<std::int64_t>(tile_elements / std::max<std::int64_t>(features, 1), 1, vector_tile_rows);
}

int vectors_of(const VectorCall& call) { return call.kind == VectorKind::triplet ? 3 : 2; }

std::int64_t features_of(const VectorCall& call) {
  const ArrayView& first = *call.operands[0];
  return first.shape[static_cast<std::size_t>(first.ndim - 1)];
}

std::int64_t rows_of(const VectorCall& call) {
  const ArrayView& first = *call.operands[0];
  std::int64_t rows = 1;
  for (int d = 0; d + 1 < first.ndim; ++d) {
    rows *= first.shape[static_cast<std::size_t>(d)];
  }
  return rows;
}

VectorJob job_of(const VectorCall& call) {
  switch (call.kind) {
    case VectorKind::triplet:
      return call.swap ? VectorJob::swapped_triplet : VectorJob::triplet;
    case VectorKind::cosine_embedding:
      return VectorJob::cosine_embedding;
    default:
      return VectorJob::distance;
  }
}

DistanceKind distance_of(const VectorCall& call) {
  if (call.kind == VectorKind::cosine_embedding) {
    return DistanceKind::embedding_cosine;
  }
  if (call.family == DistanceFamily::cosine) {
    return DistanceKind::cosine;
  }
  return call.p == 2.0                                 ? DistanceKind::euclidean
         : call.p == 1.0                               ? DistanceKind::manhattan
         : math::abs(call.p) == math::infinity<double> ? DistanceKind::extreme
                                                       : DistanceKind::power;
}

template <class T>
const VectorTable<T>& table_of() {
  if constexpr (sizeof(T) == 4) {
    return active_kernels().vectors->single;
  } else {
    return active_kernels().vectors->twice;
  }
}

template <class T>
const VectorKernels<T>& kernels_of(const VectorCall& call) {
  return table_of<T>().kernels[static_cast<int>(job_of(call))][static_cast<int>(distance_of(call))];
}

/// One number for each row of a block, and for each row that a kernel's last tile lacks.
using RowNumbers = double[most_block_rows + vector_tile_rows];

/// What the rows of a block come to; they count once each where no weights are given.
void add_losses(Part& part, const double* losses, const double* weights, std::int64_t count) {
  const LossSums sums = active_kernels().vectors->sum(losses, count);
  for (std::int64_t k = 0; k < loss_lanes; ++k) {
    part.add(sums.heads[k], 0.0);
    part.carry += sums.tails[k];
  }
  part.weight = static_cast<double>(count);
  part.count = count;
  if (weights != nullptr) {
    const LossSums divisors = active_kernels().vectors->sum(weights, count);
    part.weight = 0;
    for (std::int64_t k = 0; k < loss_lanes; ++k) {
      part.add(0.0, divisors.heads[k]);
      part.weight_carry += divisors.tails[k];
    }
  }
}

template <class T>
class VectorDriver {
 public:
  VectorDriver(const VectorCall& vector_call, const VectorGradients* gradients, const Output& unreduced)
      : call_(vector_call),
        wanted_(gradients),
        value_(unreduced),
        vectors_(vectors_of(vector_call)),
        features_(features_of(vector_call)),
        tile_rows_(tile_size(features_)),
        room_(tile_rows_ * features_) {
    const ArrayView* views[arrays] = {};
    for (int k = 0; k < vectors_; ++k) {
      add(k, *call_.operands[k], true);
      if (wanted_ != nullptr && wanted_->grads[k].wanted()) {
        ArrayView grad = wanted_->grads[k].layout;
        grad.data = wanted_->grads[k].data;
        add(grad_index + k, grad, true);
        dense_[grad_index + k] = wanted_->grads[k].dense;
      }
    }
    if (call_.label != nullptr) {
      add(label_index, *call_.label, false);
    }
    if (call_.sample_weight != nullptr) {
      add(weight_index, *call_.sample_weight, false);
    }
    if (wanted_ != nullptr && wanted_->upstream != nullptr) {
      add(upstream_index, *wanted_->upstream, false);
      dense_[upstream_index] = wanted_->dense_upstream;
    }
    if (wanted_ != nullptr && wanted_->mask != nullptr) {
      add(mask_index, *wanted_->mask, false);
    }
    Strided laid_out[arrays];
    for (int k = 0; k < arrays; ++k) {
      views[k] = present_[k] && !dense_[k] ? &operands_[k].rows : nullptr;
    }
    layout_ = lay_out(views, arrays, laid_out);
    for (int k = 0; k < arrays; ++k) {
      operands_[k].array = laid_out[k];
      if (dense_[k]) {
        operands_[k].array.data = static_cast<const char*>(operands_[k].rows.data);
        operands_[k].array.dtype = operands_[k].rows.dtype;
      }
    }
    end_ = call_.end < 0 ? layout_.size : call_.end;
    with_.margin = call_.margin;
    with_.distance = {call_.p, call_.eps};
    with_.swap = call_.swap;
    const VectorKernels<T>& kernels = kernels_of<T>(call_);
    kernel_ = wanted_ != nullptr ? kernels.gradient : kernels.value;
    streams_ = features_ >= streamed_vector &&
               (end_ - call_.begin) * features_ * static_cast<std::int64_t>(sizeof(T)) >= streamed_bytes;
  }

  Accumulator run() const {
    const std::int64_t rows = end_ - call_.begin;
    const std::int64_t each = block_rows(features_);
    const double cost = distance_of(call_) == DistanceKind::power ? power_cost : sum_cost;
    const double work = static_cast<double>(rows) * static_cast<double>(features_ * vectors_ + 4) * cost;
    const int threads = threads_for(static_cast<std::int64_t>(work * (wanted_ != nullptr ? 2 : 1)), call_.threads);
    const Scratch scratch(threads, static_cast<std::size_t>(scratch_numbers()) * sizeof(T));
    return reduce_blocks(call_.initial, (rows + each - 1) / each, threads, call_.interrupt,
                         [&](std::int64_t block, int thread, Part& part) {
                           const std::int64_t begin = call_.begin + block * each;
                           const std::int64_t end = std::min(begin + each, end_);
                           RowNumbers losses;
                           RowNumbers weights;
                           const bool whole = in_place_throughout(begin, end - begin);
                           for (std::int64_t row = begin; row < end;) {
                             const std::int64_t count = whole ? end - row : std::min(tile_rows_, end - row);
                             const std::int64_t at = row - begin;
                             tile(row, static_cast<int>(count), losses + at, weights + at, scratch.of<T>(thread));
                             row += count;
                           }
                           add_losses(part, losses, present_[weight_index] ? weights : nullptr, end - begin);
                           return BadValue{};
                         });
  }

 private:
  static constexpr int grad_index = 3;
  static constexpr int label_index = 6;
  static constexpr int upstream_index = 7;
  static constexpr int mask_index = 8;
  static constexpr int weight_index = 9;
  static constexpr int arrays = 10;

  void add(int k, const ArrayView& view, bool has_features) {
    present_[k] = true;
    operands_[k].rows = view;
    if (has_features) {
      operands_[k].rows.ndim = view.ndim - 1;
      operands_[k].feature_stride = view.strides[static_cast<std::size_t>(view.ndim - 1)];
    }
  }

  /// A tile's numbers for every vector and gradient, and what kernels fetch ahead of them: it must not be another thread's.
  [[nodiscard]] std::int64_t scratch_numbers() const {
    constexpr std::int64_t ahead = vector_bytes_ahead / static_cast<std::int64_t>(sizeof(T));
    return 2 * vectors_ * room_ + vector_tile_rows + ahead;
  }

  [[nodiscard]] RowPlaces places(int k, std::int64_t row, int count) const {
    if (dense_[k]) {
      RowPlaces found;
      found.stride = (k == upstream_index ? 1 : features_) * item_size(operands_[k].array.dtype);
      found.first = (row - call_.begin) * found.stride;
      return found;
    }
    return places_of(layout_, operands_[k].array, row, count);
  }

  /// Whether a kernel can take these rows as they stand, all together. Long rows go tile by tile, which stay in cache.
  [[nodiscard]] bool in_place_throughout(std::int64_t row, std::int64_t count) const {
    if (tile_rows_ != vector_tile_rows || !one_run(layout_, row, count)) {
      return false;
    }
    std::ptrdiff_t stride = 0;
    for (int k = 0; k < label_index; ++k) {
      if (present_[k] && !in_place<T>(operands_[k], places(k, row, static_cast<int>(count)), features_, stride)) {
        return false;
      }
    }
    return true;
  }

  void read_rows(int k, std::int64_t row, int count, double* to, double factor) const {
    const RowPlaces from = places(k, row, count);
    const Strided& array = operands_[k].array;
    const auto copy = active_pack<double>().pack[static_cast<int>(array.dtype)][array.swapped ? 1 : 0];
    if (from.even) {
      copy(array.data + from.first, from.stride, count, to, 1);
    } else {
      for (int r = 0; r < count; ++r) {
        copy(array.data + from.at(r), 0, 1, to + r, 1);
      }
    }
    for (int r = 0; r < count; ++r) {
      to[r] *= factor;
    }
    std::fill_n(to + count, vector_tile_rows, 0.0);
  }

  void weigh(double* numbers, const double* weights, int count) const {
    for (int r = 0; present_[weight_index] && r < count; ++r) {
      numbers[r] *= weights[r];
    }
  }

  /// Clears the gradients of masked rows: 0 times what they hold may be NaN.
  void clear_masked(std::int64_t row, const VectorTile<T>& tile) const {
    RowNumbers mask;
    read_rows(mask_index, row, static_cast<int>(tile.rows), mask, 1.0);
    for (std::ptrdiff_t r = 0; r < tile.rows; ++r) {
      for (int k = 0; k < vectors_ && mask[r] == 0; ++k) {
        if (tile.grad[k] != nullptr) {
          std::fill_n(tile.grad[k] + r * tile.grad_stride[k], features_, T(0));
        }
      }
    }
  }

  /// A tile of rows, or any number that a kernel can take in place; `weights` is written where rows have any.
  void tile(std::int64_t row, int count, double* losses, double* weights, T* numbers) const {
    VectorTile<T> tile;
    tile.rows = count;
    tile.features = features_;
    for (int k = 0; k < vectors_; ++k) {
      const RowPlaces from = places(k, row, count);
      const Strided& array = operands_[k].array;
      if (in_place<T>(operands_[k], from, features_, tile.stride[k])) {
        tile.operand[k] = reinterpret_cast<const T*>(array.data + from.first);
        continue;
      }
      T* to = numbers + k * room_;
      const auto copy = active_pack<T>().pack[static_cast<int>(array.dtype)][array.swapped ? 1 : 0];
      for (int r = 0; r < count; ++r) {
        copy(array.data + from.at(r), operands_[k].feature_stride, features_, to + r * features_, 1);
      }
      tile.operand[k] = to;
      tile.stride[k] = features_;
    }
    tile.value = losses;
    RowNumbers labels;
    if (present_[label_index]) {
      read_rows(label_index, row, count, labels, 1.0);
      tile.label = labels;
    }
    if (present_[weight_index]) {
      read_rows(weight_index, row, count, weights, 1.0);
    }
    RowNumbers scales;
    RowPlaces grad_places[max_vectors];
    bool direct[max_vectors] = {};
    if (wanted_ != nullptr) {
      if (present_[upstream_index]) {
        read_rows(upstream_index, row, count, scales, wanted_->scale);
      } else {
        std::fill_n(scales, count + vector_tile_rows, wanted_->scale);
      }
      weigh(scales, weights, count);
      tile.scale = scales;
      tile.streams = streams_;
      for (int k = 0; k < vectors_; ++k) {
        if (!present_[grad_index + k]) {
          continue;
        }
        grad_places[k] = places(grad_index + k, row, count);
        direct[k] = in_place<T>(operands_[grad_index + k], grad_places[k], features_, tile.grad_stride[k]);
        tile.grad[k] = numbers + (vectors_ + k) * room_;
        if (direct[k]) {
          char* data = const_cast<char*>(operands_[grad_index + k].array.data);
          tile.grad[k] = reinterpret_cast<T*>(data + grad_places[k].first);
        } else {
          tile.grad_stride[k] = features_;
        }
        tile.streams = tile.streams && direct[k] && tile.grad_stride[k] == features_;
      }
    }
    kernel_(tile, with_);
    weigh(losses, weights, count);
    if (present_[mask_index]) {
      clear_masked(row, tile);
    }
    if (wanted_ != nullptr) {
      for (int k = 0; k < vectors_; ++k) {
        if (tile.grad[k] == nullptr || direct[k]) {
          continue;
        }
        const RowOperand& grad = operands_[grad_index + k];
        if (grad_places[k].even && std::abs(grad_places[k].stride) < std::abs(grad.feature_stride)) {
          char* to = const_cast<char*>(grad.array.data) + grad_places[k].first;
          for (std::int64_t f = 0; f < features_; ++f) {
            store_numbers(tile.grad[k] + f, features_, count, grad.array, to + f * grad.feature_stride, grad_places[k].stride);
          }
          continue;
        }
        for (int r = 0; r < count; ++r) {
          store_numbers(tile.grad[k] + r * features_, 1, features_, grad.array,
                        const_cast<char*>(grad.array.data) + grad_places[k].at(r), grad.feature_stride);
        }
      }
    }
    if (value_.wanted()) {
      T rounded[most_block_rows];
      for (int r = 0; r < count; ++r) {
        rounded[r] = static_cast<T>(losses[r]);
      }
      Writer<T>(value_, call_.begin).store(row, count, rounded);
    }
  }

  const VectorCall& call_;
  const VectorGradients* wanted_;
  Output value_;
  int vectors_;
  std::int64_t features_;
  std::int64_t tile_rows_;
  std::int64_t room_;  // numbers of a tile of vectors
  bool present_[arrays] = {};
  bool dense_[arrays] = {};
  RowOperand operands_[arrays];
  Layout layout_;
  std::int64_t end_ = 0;
  VectorParameters with_;
  void (*kernel_)(const VectorTile<T>&, const VectorParameters&) = nullptr;
  bool streams_ = false;  // gradients are too many to stay in the caches, and their rows long
};

Accumulator run(const VectorCall& call, const VectorGradients* wanted, const Output& value) {
  const VectorKernels<float>& single = kernels_of<float>(call);
  const bool twice = call.compute == DType::float64 || single.value == nullptr;
  return twice ? VectorDriver<double>(call, wanted, value).run() : VectorDriver<float>(call, wanted, value).run();
}

void require(bool condition, const char* name, const std::string& what) {
  if (!condition) {
    throw std::invalid_argument(std::string(name) + ": " + what);
  }
}

/// Σ of an array's numbers.
double sum_of(const ArrayView& numbers) {
  const Identity itself;
  ElementwiseCall call{};
  call.loss = erase(itself);
  call.operands[0] = &numbers;
  call.compute = DType::float64;
  return accumulate(call).total();
}

/// Whether there is one number for each row of vectors.
bool shape_of_rows(const ArrayView& numbers, const ArrayView& vectors) {
  return numbers.ndim == vectors.ndim - 1 &&
         std::equal(numbers.shape.begin(), numbers.shape.begin() + numbers.ndim, vectors.shape.begin());
}

bool same_shape(const ArrayView& a, const ArrayView& b) {
  return a.ndim == b.ndim && std::equal(a.shape.begin(), a.shape.begin() + a.ndim, b.shape.begin());
}

}  // namespace

Accumulator accumulate(const VectorCall& call) { return run(call, nullptr, Output()); }

void map(const VectorCall& call, const Output& value) {
  const std::int64_t rows = (call.end < 0 ? rows_of(call) : call.end) - call.begin;
  require(value.size == rows, "map", "out has " + std::to_string(value.size) + " elements, expected " + std::to_string(rows));
  static_cast<void>(run(call, nullptr, value));
}

Accumulator gradients(const VectorCall& call, const VectorGradients& wanted) { return run(call, &wanted, wanted.value); }

double gradient_scale(const VectorCall& call, Reduction reduction) {
  const double divisor = call.sample_weight != nullptr ? sum_of(*call.sample_weight) : static_cast<double>(rows_of(call));
  return reduction != Reduction::mean ? 1.0 : divisor != 0 ? 1.0 / divisor : math::nan<double>;
}

std::int64_t vector_block(std::int64_t features) { return block_rows(features); }

void weighted_sum(std::span<const ArrayView> weights, std::span<const ArrayView> parts, const Output& to, std::int64_t begin) {
  constexpr int most = 4;
  constexpr std::int64_t block = 1024;
  const int count = static_cast<int>(std::min<std::size_t>(parts.size(), most));
  const ArrayView* views[2 * most] = {};
  for (int k = 0; k < count; ++k) {
    views[2 * k] = &parts[static_cast<std::size_t>(k)];
    views[2 * k + 1] = &weights[static_cast<std::size_t>(k)];
  }
  Strided arrays[2 * most];
  const Layout layout = lay_out(views, 2 * count, arrays);
  double sums[block];
  double part[block];
  double weight[block];
  for (std::int64_t done = 0; done < to.size; done += block) {
    const std::int64_t n = std::min(block, to.size - done);
    std::fill_n(sums, n, 0.0);
    for (int k = 0; k < count; ++k) {
      const double* p = read_block<double>(layout, arrays[2 * k], active_pack<double>(), begin + done, n, part);
      const double* w = read_block<double>(layout, arrays[2 * k + 1], active_pack<double>(), begin + done, n, weight);
      for (std::int64_t i = 0; i < n; ++i) {
        sums[i] += w[i] * p[i];
      }
    }
    active_pack<double>().unpack[static_cast<int>(to.dtype)](sums, n, static_cast<char*>(to.data) + done * item_size(to.dtype));
  }
}

void VectorCallStorage::complete(const char* name, std::initializer_list<ArrayView> vectors, std::size_t expected,
                                 const Options& options) {
  name_ = name;
  require(vectors.size() == expected, name,
          "expected " + std::to_string(expected) + " vectors a row, got " + std::to_string(vectors.size()));
  require(options.threads >= 0, name, "threads must be at least 0, got " + std::to_string(options.threads));
  std::size_t k = 0;
  for (const ArrayView& view : vectors) {
    views_[k] = view;
    require(view.ndim >= 1, name, "operands must have at least one dimension");
    require(same_shape(view, views_[0]), name, "operands must have one shape; operand " + std::to_string(k) + " differs");
    if (view.dtype == DType::float64) {
      call.compute = DType::float64;
    }
    call.operands[k] = &views_[k];
    ++k;
  }
  call.threads = options.threads;
  call.interrupt = options.interrupt;
  require(options.weight == nullptr, name, "takes no weight per element; sample_weight has one number for each row");
  if (options.sample_weight != nullptr) {
    sample_weight_ = *options.sample_weight;
    require(shape_of_rows(sample_weight_, views_[0]), name, "sample_weight must have one number for each row");
    call.sample_weight = &sample_weight_;
  }
}

VectorCallStorage::VectorCallStorage(const CosineEmbeddingLoss& loss, std::initializer_list<ArrayView> vectors,
                                     const ArrayView& label, const Options& options)
    : label_(label) {
  call.kind = VectorKind::cosine_embedding;
  call.family = DistanceFamily::cosine;
  call.margin = loss.margin;
  complete(CosineEmbeddingLoss::name, vectors, 2, options);
  require(shape_of_rows(label_, views_[0]), name_, "target must have one element for each row");
  call.label = &label_;
}

VectorCallStorage::VectorCallStorage(const TripletMarginLoss& loss, std::initializer_list<ArrayView> vectors,
                                     const Options& options) {
  call.kind = VectorKind::triplet;
  call.margin = loss.margin;
  call.p = loss.p;
  call.eps = loss.eps;
  call.swap = loss.swap;
  require(!(loss.margin <= 0), TripletMarginLoss::name, "margin must be greater than 0, got " + std::to_string(loss.margin));
  complete(TripletMarginLoss::name, vectors, 3, options);
}

VectorCallStorage::VectorCallStorage(const PairwiseDistance& distance, std::initializer_list<ArrayView> vectors,
                                     const Options& options) {
  call.p = distance.p;
  call.eps = distance.eps;
  complete(PairwiseDistance::name, vectors, 2, options);
}

VectorCallStorage::VectorCallStorage(const CosineOfVectors& distance, std::initializer_list<ArrayView> vectors,
                                     const Options& options) {
  call.family = DistanceFamily::cosine;
  call.eps = distance.eps;
  complete(CosineOfVectors::name, vectors, 2, options);
}

VectorGradients VectorCallStorage::gradients(std::initializer_list<Output> grads, Reduction reduction) const {
  VectorGradients wanted;
  require(
      grads.size() <= static_cast<std::size_t>(vectors_of(call)), name_,
      "has " + std::to_string(vectors_of(call)) + " differentiable operands, got " + std::to_string(grads.size()) + " outputs");
  int k = 0;
  for (const Output& grad : grads) {
    require(!grad.wanted() || grad.size == views_[0].size(), name_,
            "grad has " + std::to_string(grad.size) + " elements, expected " + std::to_string(views_[0].size()));
    WritableView& to = wanted.grads[k++];
    to.data = grad.data;
    to.layout = views_[0];
    to.layout.dtype = grad.dtype;
    to.layout.swapped = false;
    std::int64_t stride = item_size(grad.dtype);
    for (int d = to.layout.ndim - 1; d >= 0; --d) {
      to.layout.strides[static_cast<std::size_t>(d)] = stride;
      stride *= to.layout.shape[static_cast<std::size_t>(d)];
    }
  }
  wanted.scale = gradient_scale(call, reduction);
  return wanted;
}

}  // namespace ndloss
