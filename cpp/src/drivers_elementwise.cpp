// Elementwise losses over whole arrays: blocks, packing, threads.
#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

#include "blocks.hpp"
#include "kernel_table.hpp"
#include "layout.hpp"
#include "ndloss/calls.hpp"

namespace ndloss {
namespace {

/// Elements of a block; the grid is anchored at the call's first element.
constexpr std::int64_t block_size = elementwise_block;

/// Nanoseconds of one thread per element, roughly: what the threading threshold is judged by.
constexpr double element_cost = 0.4;

template <class T>
const ElementwiseKernels<T>& kernels_of(const ErasedLoss& loss) {
  if constexpr (sizeof(T) == 4) {
    return loss.single != nullptr ? *loss.single : active_kernels().elementwise->single[loss.index];
  } else {
    return loss.twice != nullptr ? *loss.twice : active_kernels().elementwise->twice[loss.index];
  }
}

std::int64_t last_extent(const ArrayView& view) { return view.ndim > 0 ? view.shape[static_cast<std::size_t>(view.ndim - 1)] : 1; }

/// sum / n in double-double.
void divide(Accumulator& total, double n) {
  if (std::isfinite(total.sum) && n != 0) {
    const double head = total.sum / n;
    total.carry = (std::fma(-head, n, total.sum) + total.carry) / n;
    total.sum = head;
  } else {
    total.sum /= n;
  }
}

struct Range {
  std::int64_t begin;
  std::int64_t end;

  Range(std::int64_t from, std::int64_t to, std::int64_t size) : begin(from), end(to < 0 ? size : to) {}

  [[nodiscard]] std::int64_t count() const { return end - begin; }
  [[nodiscard]] std::int64_t blocks() const { return (count() + block_size - 1) / block_size; }
  [[nodiscard]] std::int64_t at(std::int64_t block) const { return begin + block * block_size; }
  [[nodiscard]] std::int64_t size_of(std::int64_t block) const { return std::min(block_size, end - at(block)); }
  [[nodiscard]] int threads(int requested) const {
    return threads_for(static_cast<std::int64_t>(static_cast<double>(count()) * element_cost), requested);
  }
};

/// The arrays of a call, laid out together, and the scratch for those that have to be packed.
template <class T>
class Operands {
 public:
  /// `general` kernels read weight and upstream, ones where there are none.
  Operands(const ElementwiseCall& call, const ArrayView* upstream, bool general)
      : operands_(call.loss.operands), general_(general), pack_(active_pack<T>()) {
    const ArrayView* views[max_operands + 2] = {};
    std::copy_n(call.operands, operands_, views);
    views[max_operands] = call.weight;
    views[max_operands + 1] = upstream;
    layout_ = lay_out(views, max_operands + 2, arrays_);
    stride_ = std::min(block_size, (layout_.size + 63) / 64 * 64);
    for (int k = 0; k < max_operands + 2; ++k) {
      const bool read = k < operands_ || (general && k >= max_operands);
      if (read && !(arrays_[k].data != nullptr && reads_in_place<T>(arrays_[k]))) {
        slot_[k] = slots_++;
      }
    }
  }

  [[nodiscard]] std::int64_t size() const { return layout_.size; }

  /// Numbers of scratch that a thread needs, and how far apart its blocks of them stand.
  [[nodiscard]] std::int64_t scratch() const { return slots_ * stride_; }
  [[nodiscard]] std::int64_t stride() const { return stride_; }

  /// Points a block at elements [begin, begin + count).
  void point(ElementwiseBlock<T>& block, std::int64_t begin, std::int64_t count, T* numbers) const {
    block.size = count;
    for (int k = 0; k < operands_; ++k) {
      block.operand[k] = read(k, begin, count, numbers);
    }
    if (general_) {
      block.weight = read(max_operands, begin, count, numbers);
      block.upstream = read(max_operands + 1, begin, count, numbers);
    }
  }

 private:
  const T* read(int k, std::int64_t begin, std::int64_t count, T* numbers) const {
    T* to = numbers + slot_[k] * stride_;
    if (arrays_[k].data == nullptr) {
      std::fill_n(to, count, T(1));
      return to;
    }
    return read_block<T>(layout_, arrays_[k], pack_, begin, count, to);
  }

  int operands_;
  bool general_;
  const PackTable<T>& pack_;
  Layout layout_;
  std::int64_t stride_ = 0;
  std::int64_t slots_ = 0;
  std::int64_t slot_[max_operands + 2] = {};
  Strided arrays_[max_operands + 2];
};

template <class T>
Scratch scratch_for(int threads, std::int64_t numbers) {
  return {threads, static_cast<std::size_t>(numbers) * sizeof(T)};
}

void put(Part& part, const BlockResult& result, bool weighted_mean, std::int64_t count) {
  part.sum = result.sum;
  part.carry = result.carry;
  part.weight = weighted_mean ? result.weight : static_cast<double>(count);
  part.weight_carry = weighted_mean ? result.weight_carry : 0.0;
  part.count = count;
}

BadValue placed(BadValue bad, std::int64_t begin) {
  if (bad.found()) {
    bad.index += begin;
  }
  return bad;
}

std::int64_t row_divisor(const ElementwiseCall& call) {
  return call.row_divisor >= 0 ? call.row_divisor : last_extent(*call.operands[0]);
}

/// Sums over rows for a loss that averages over its last axis.
Accumulator in_rows(Accumulator total, const ElementwiseCall& call) {
  if (call.loss.row_mean && !call.raw) {
    per_row(total, last_extent(*call.operands[0]), row_divisor(call));
  }
  return total;
}

template <class T>
Accumulator accumulate_as(const ElementwiseCall& call) {
  const bool weighted = call.weight != nullptr;
  const Operands<T> operands(call, nullptr, weighted);
  const Range range(call.begin, call.end, operands.size());
  const int threads = range.threads(call.threads);
  const bool weighted_mean = weighted && call.loss.weighted_mean;
  const ElementwiseKernels<T>& kernels = kernels_of<T>(call.loss);
  const auto kernel = weighted ? kernels.sum_weighted : kernels.sum;
  const Scratch scratch = scratch_for<T>(threads, operands.scratch());
  return in_rows(reduce_blocks(call.initial, range.blocks(), threads, call.interrupt,
                               [&](std::int64_t index, int thread, Part& part) {
                                 ElementwiseBlock<T> block{};
                                 const std::int64_t begin = range.at(index);
                                 const std::int64_t count = range.size_of(index);
                                 operands.point(block, begin, count, scratch.of<T>(thread));
                                 const BlockResult result = kernel(call.loss.loss, block);
                                 put(part, result, weighted_mean, count);
                                 return placed(result.bad, begin);
                               }),
                 call);
}

/// Where a block's results go: into the output itself where its type is the compute type, else through scratch.
template <class T>
class Writer {
 public:
  /// Blocks of scratch it needs.
  [[nodiscard]] std::int64_t slots() const { return output_.wanted() && !in_place_ ? 1 : 0; }

  Writer(const Output& output, std::int64_t origin) : output_(output), origin_(origin), in_place_(output.dtype == dtype_of<T>()) {}

  [[nodiscard]] T* begin(std::int64_t position, T* numbers) const {
    return output_.wanted() && in_place_ ? static_cast<T*>(output_.data) + (position - origin_) : numbers;
  }

  void end(std::int64_t position, std::int64_t count, const T* numbers) const {
    if (output_.wanted() && !in_place_) {
      char* to = static_cast<char*>(output_.data) + (position - origin_) * item_size(output_.dtype);
      active_pack<T>().unpack[static_cast<int>(output_.dtype)](numbers, count, to);
    }
  }

 private:
  Output output_;
  std::int64_t origin_;
  bool in_place_;
};

template <class T>
BadValue map_as(const ElementwiseCall& call, const Output& value) {
  const bool weighted = call.weight != nullptr;
  const Operands<T> operands(call, nullptr, weighted);
  const Range range(call.begin, call.end, operands.size());
  const int threads = range.threads(call.threads);
  const ElementwiseKernels<T>& kernels = kernels_of<T>(call.loss);
  const auto kernel = weighted ? kernels.map_weighted : kernels.map;
  const Writer<T> writer(value, range.begin);
  const Scratch scratch = scratch_for<T>(threads, operands.scratch() + writer.slots() * operands.stride());
  return reduce_blocks(Accumulator(), range.blocks(), threads, call.interrupt,
                       [&](std::int64_t index, int thread, Part& /*part*/) {
                         ElementwiseBlock<T> block{};
                         const std::int64_t begin = range.at(index);
                         const std::int64_t count = range.size_of(index);
                         T* numbers = scratch.of<T>(thread);
                         operands.point(block, begin, count, numbers);
                         T* to = numbers + operands.scratch();
                         block.value = writer.begin(begin, to);
                         const BlockResult result = kernel(call.loss.loss, block);
                         writer.end(begin, count, to);
                         return placed(result.bad, begin);
                       })
      .bad;
}

/// The unreduced loss of a loss that averages over its last axis: rows in blocks of whole rows, or one long row in pieces.
template <class T>
BadValue map_rows_as(const ElementwiseCall& call, const Output& value) {
  const bool weighted = call.weight != nullptr;
  const Operands<T> operands(call, nullptr, weighted);
  const std::int64_t classes = last_extent(*call.operands[0]);
  const std::int64_t rows = value.size;
  const auto divisor = static_cast<double>(row_divisor(call));
  const ElementwiseKernels<T>& kernels = kernels_of<T>(call.loss);
  const std::int64_t rows_each = std::max<std::int64_t>(1, block_size / std::max<std::int64_t>(classes, 1));
  const std::int64_t blocks = (rows + rows_each - 1) / rows_each;
  const int threads = threads_for(static_cast<std::int64_t>(static_cast<double>(rows * classes) * element_cost), call.threads);
  const Writer<T> writer(value, 0);
  const Scratch scratch = scratch_for<T>(threads, operands.scratch() + 2 * block_size);
  return reduce_blocks(
             Accumulator(), blocks, threads, call.interrupt,
             [&](std::int64_t index, int thread, Part& /*part*/) {
               T* numbers = scratch.of<T>(thread);
               T* terms = numbers + operands.scratch();
               T* losses = terms + block_size;
               const std::int64_t first = index * rows_each;
               const std::int64_t count = std::min(rows_each, rows - first);
               ElementwiseBlock<T> block{};
               BadValue bad;
               T* out = writer.begin(first, losses);
               if (classes > 0 && classes <= 64) {
                 operands.point(block, first * classes, count * classes, numbers);
                 block.value = terms;
                 bad = placed((weighted ? kernels.map_weighted : kernels.map)(call.loss.loss, block).bad, first * classes);
                 for (std::int64_t r = 0; r < count; ++r) {
                   double sum = 0;
                   for (std::int64_t c = 0; c < classes; ++c) {
                     sum += static_cast<double>(terms[r * classes + c]);
                   }
                   out[r] = static_cast<T>(sum / divisor);
                 }
               } else {
                 for (std::int64_t r = 0; r < count; ++r) {
                   Accumulator row;
                   for (std::int64_t c = 0; c < classes; c += block_size) {
                     const std::int64_t begin = (first + r) * classes + c;
                     operands.point(block, begin, std::min(block_size, classes - c), numbers);
                     const BlockResult result = (weighted ? kernels.sum_weighted : kernels.sum)(call.loss.loss, block);
                     Accumulator piece;
                     piece.sum = result.sum;
                     piece.carry = result.carry;
                     piece.bad = placed(result.bad, begin);
                     row += piece;
                   }
                   bad.merge(row.bad);
                   divide(row, divisor);
                   out[r] = static_cast<T>(row.total());
                 }
               }
               writer.end(first, count, losses);
               return bad;
             })
      .bad;
}

template <class T>
Accumulator gradients_as(const ElementwiseCall& call, const ElementwiseGradients& wanted) {
  const bool weighted = call.weight != nullptr;
  const bool general = weighted || wanted.upstream != nullptr;
  const Operands<T> operands(call, wanted.upstream, general);
  const Range range(call.begin, call.end, operands.size());
  const int threads = range.threads(call.threads);
  const bool weighted_mean = weighted && call.loss.weighted_mean;
  const ElementwiseKernels<T>& kernels = kernels_of<T>(call.loss);
  bool several = false;
  for (int k = 1; k < call.loss.inputs; ++k) {
    several = several || wanted.grads[k].wanted();
  }
  const auto kernel = several ? (general ? kernels.gradients_weighted : kernels.gradients)
                              : (general ? kernels.gradient_weighted : kernels.gradient);
  const auto value_kernel = weighted ? kernels.map_weighted : kernels.map;
  const Writer<T> value(wanted.value, range.begin);
  const Writer<T> grads[max_operands] = {{wanted.grads[0], range.begin},
                                         {wanted.grads[1], range.begin},
                                         {wanted.grads[2], range.begin},
                                         {wanted.grads[3], range.begin}};
  const T scale = static_cast<T>(wanted.scale);
  // One block of scratch for each result that is converted or, computed beside a wanted one, dropped.
  const bool drops = several || !wanted.grads[0].wanted();
  std::int64_t results = value.slots();
  for (int k = 0; k < call.loss.inputs; ++k) {
    results += grads[k].slots() + (drops && !wanted.grads[k].wanted() ? 1 : 0);
  }
  const Scratch scratch = scratch_for<T>(threads, operands.scratch() + (results > 0 ? call.loss.inputs + 1 : 0) * operands.stride());
  return in_rows(reduce_blocks(call.initial, range.blocks(), threads, call.interrupt,
                               [&](std::int64_t index, int thread, Part& part) {
                                 ElementwiseBlock<T> block{};
                                 const std::int64_t begin = range.at(index);
                                 const std::int64_t count = range.size_of(index);
                                 T* numbers = scratch.of<T>(thread);
                                 operands.point(block, begin, count, numbers);
                                 T* to = numbers + operands.scratch();
                                 block.scale = scale;
                                 if (wanted.value.wanted()) {
                                   block.value = value.begin(begin, to);
                                   value_kernel(call.loss.loss, block);
                                   value.end(begin, count, to);
                                 }
                                 for (int k = 0; k < call.loss.inputs; ++k) {
                                   block.grad[k] = grads[k].begin(begin, to + (k + 1) * operands.stride());
                                 }
                                 const BlockResult result = kernel(call.loss.loss, block);
                                 for (int k = 0; k < call.loss.inputs; ++k) {
                                   grads[k].end(begin, count, to + (k + 1) * operands.stride());
                                 }
                                 put(part, result, weighted_mean, count);
                                 return placed(result.bad, begin);
                               }),
                 call);
}

/// Σ of an array, for the divisor of a weighted mean.
double total_of(const ArrayView& view, const ElementwiseCall& call) {
  const ArrayView* const views[] = {&view};
  Strided array;
  const Layout layout = lay_out(views, 1, &array);
  const Range range(0, -1, layout.size);
  const int threads = range.threads(call.threads);
  const Scratch scratch = scratch_for<double>(threads, block_size);
  return reduce_blocks(Accumulator(), range.blocks(), threads, call.interrupt,
                       [&](std::int64_t index, int thread, Part& part) {
                         const std::int64_t count = range.size_of(index);
                         const double* numbers = read_block<double>(layout, array, active_pack<double>(), range.at(index), count, scratch.of<double>(thread));
                         for (std::int64_t i = 0; i < count; ++i) {
                           part.sum += numbers[i];
                         }
                         return BadValue{};
                       })
      .total();
}

template <class T>
BadValue weight_gradient_as(const ElementwiseCall& call, const ArrayView* upstream, double scale, double offset, const Output& out) {
  const Operands<T> operands(call, upstream, true);
  const Range range(call.begin, call.end, operands.size());
  const int threads = range.threads(call.threads);
  const auto kernel = kernels_of<T>(call.loss).map;
  const Writer<T> writer(out, range.begin);
  const Scratch scratch = scratch_for<T>(threads, operands.scratch() + operands.stride());
  const T factor = static_cast<T>(scale);
  const T origin = static_cast<T>(offset);
  return reduce_blocks(Accumulator(), range.blocks(), threads, call.interrupt,
                       [&](std::int64_t index, int thread, Part& /*part*/) {
                         ElementwiseBlock<T> block{};
                         const std::int64_t begin = range.at(index);
                         const std::int64_t count = range.size_of(index);
                         T* numbers = scratch.of<T>(thread);
                         operands.point(block, begin, count, numbers);
                         T* to = numbers + operands.scratch();
                         block.value = writer.begin(begin, to);
                         const BlockResult result = kernel(call.loss.loss, block);
                         for (std::int64_t i = 0; i < count; ++i) {
                           block.value[i] = (block.value[i] - origin) * factor * block.upstream[i];
                         }
                         writer.end(begin, count, to);
                         return placed(result.bad, begin);
                       })
      .bad;
}

/// 1 / divisor, NaN for a divisor of 0.
double reciprocal(double divisor) { return divisor != 0 ? 1.0 / divisor : math::nan<double>; }

bool same_shape(const ArrayView& a, const ArrayView& b) {
  return a.ndim == b.ndim && std::equal(a.shape.begin(), a.shape.begin() + a.ndim, b.shape.begin());
}

void require(bool condition, const char* name, const std::string& what) {
  if (!condition) {
    throw std::invalid_argument(std::string(name) + ": " + what);
  }
}

}  // namespace

void Interrupt::check() const {
  if (asked != nullptr && asked(context)) {
    throw Interrupted();
  }
}

Accumulator accumulate(const ElementwiseCall& call) {
  return call.compute == DType::float64 ? accumulate_as<double>(call) : accumulate_as<float>(call);
}

BadValue map(const ElementwiseCall& call, const Output& value) {
  const ArrayView& first = *call.operands[0];
  const std::int64_t classes = call.loss.row_mean ? last_extent(first) : 1;
  require(value.size * classes == first.size(), call.loss.name,
          "out has " + std::to_string(value.size) + " elements, which is not one per loss");
  if (call.loss.row_mean) {
    return call.compute == DType::float64 ? map_rows_as<double>(call, value) : map_rows_as<float>(call, value);
  }
  return call.compute == DType::float64 ? map_as<double>(call, value) : map_as<float>(call, value);
}

Accumulator gradients(const ElementwiseCall& call, const ElementwiseGradients& wanted) {
  if (call.loss.row_mean && wanted.value.wanted()) {
    ElementwiseGradients rest = wanted;
    rest.value = Output();
    const BadValue bad = map(call, wanted.value);
    Accumulator total = gradients(call, rest);
    total.bad = bad;
    return total;
  }
  return call.compute == DType::float64 ? gradients_as<double>(call, wanted) : gradients_as<float>(call, wanted);
}

BadValue weight_gradient(const ElementwiseCall& call, const ArrayView* upstream, double scale, double offset, const Output& out) {
  return call.compute == DType::float64 ? weight_gradient_as<double>(call, upstream, scale, offset, out)
                                        : weight_gradient_as<float>(call, upstream, scale, offset, out);
}

void per_row(Accumulator& total, std::int64_t classes, std::int64_t divisor) {
  divide(total, static_cast<double>(divisor));
  total.count = classes == 0 ? 0 : total.count / classes;
  total.weight = static_cast<double>(total.count);
  total.weight_carry = 0;
}

double gradient_scale(const ElementwiseCall& call, Reduction reduction) {
  const ArrayView& first = *call.operands[0];
  const double within_row = call.loss.row_mean ? static_cast<double>(row_divisor(call)) : 1.0;
  if (reduction != Reduction::mean) {
    return 1.0 / within_row;
  }
  if (call.weight != nullptr && call.loss.weighted_mean) {
    return reciprocal(total_of(*call.weight, call));
  }
  const std::int64_t classes = call.loss.row_mean ? last_extent(first) : 1;
  const std::int64_t losses = classes == 0 ? 0 : first.size() / classes;
  return reciprocal(static_cast<double>(losses)) / within_row;
}

ElementwiseCall checked_call(const ErasedLoss& loss, std::initializer_list<ArrayView> operands, const ArrayView* weight, int threads,
                             const Interrupt& interrupt) {
  require(operands.size() == static_cast<std::size_t>(loss.operands), loss.name,
          "expected " + std::to_string(loss.operands) + " operands, got " + std::to_string(operands.size()));
  require(threads >= 0, loss.name, "threads must be at least 0, got " + std::to_string(threads));
  ElementwiseCall call{};
  call.loss = loss;
  call.weight = weight;
  call.threads = threads;
  call.interrupt = interrupt;
  int k = 0;
  for (const ArrayView& operand : operands) {
    require(same_shape(operand, *operands.begin()), loss.name, "operands must have one shape; operand " + std::to_string(k) + " differs");
    if (operand.dtype == DType::float64) {
      call.compute = DType::float64;
    }
    call.operands[k++] = &operand;
  }
  require(weight == nullptr || same_shape(*weight, *operands.begin()), loss.name, "weight must have the shape of the operands");
  return call;
}

ElementwiseGradients checked_gradients(const ElementwiseCall& call, std::initializer_list<Output> grads, Reduction reduction) {
  require(grads.size() <= static_cast<std::size_t>(call.loss.inputs), call.loss.name,
          "has " + std::to_string(call.loss.inputs) + " differentiable operands, got " + std::to_string(grads.size()) + " outputs");
  ElementwiseGradients wanted;
  int k = 0;
  for (const Output& grad : grads) {
    require(!grad.wanted() || grad.size == call.operands[0]->size(), call.loss.name,
            "grad has " + std::to_string(grad.size) + " elements, expected " + std::to_string(call.operands[0]->size()));
    wanted.grads[k++] = grad;
  }
  wanted.scale = gradient_scale(call, reduction);
  return wanted;
}

void throw_if_bad(const BadValue& bad, const char* name) {
  if (bad.found()) {
    throw std::invalid_argument(std::string(name) + ": operand " + std::to_string(bad.operand) + " is " +
                                std::to_string(std::bit_cast<double>(bad.value)) + " at element " + std::to_string(bad.index) +
                                ", outside its domain");
  }
}

}  // namespace ndloss
