/// What the elementwise drivers are made of: a range cut into blocks, its operands, its factors, and where results go.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>

#include "blocks.hpp"
#include "column_blocks.hpp"
#include "kernel_table.hpp"
#include "layout.hpp"
#include "ndloss/calls.hpp"
#include "ndloss/prefetch.hpp"
#include "store.hpp"

namespace ndloss {

/// Elements of a block; the grid is anchored at the call's first element.
inline constexpr std::int64_t block_size = elementwise_block;

/// Elements that are worked on at a time where operands are packed or weighed, so that the copies stay in L1.
inline constexpr std::int64_t piece_size = 1024;
static_assert(block_size % piece_size == 0 && packed_ahead == 2 * piece_size);

/// Elements of the blocks that a thread takes at a time where operands are packed for them.
inline constexpr std::int64_t task_size = task_blocks * block_size;
static_assert(std::has_single_bit(static_cast<std::uint64_t>(task_blocks)));

/// Blocks that a thread takes at a time where nothing is packed for a whole task: wherever it goes on elsewhere, the processor
/// has to find the streams of memory anew.
inline constexpr std::int64_t streamed_blocks = 4 * task_blocks;

/// Nanoseconds of one thread per element, roughly: what the threading threshold is judged by.
inline constexpr double element_cost = 0.4;

template <class T>
const ElementwiseKernels<T>& kernels_of(const ErasedLoss& loss) {
  if constexpr (sizeof(T) == 4) {
    return loss.single != nullptr ? *loss.single : active_kernels().elementwise->single[loss.index];
  } else {
    return loss.twice != nullptr ? *loss.twice : active_kernels().elementwise->twice[loss.index];
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

/// The factors of a block: what multiplies each loss, and what each adds to the divisor; null for ones.
template <class T>
struct BlockFactors {
  const T* loss = nullptr;
  const T* divisor = nullptr;
};

/// The arrays of a call, laid out together, and the scratch for those that have to be packed or guarded.
///
/// Where a mask or an ignored target leaves an element out, its operands are replaced by a number that every loss takes, and
/// its factors by 0, so that what stands there is never read into a result.
template <class T>
class Operands {
 public:
  /// `in_tasks`: it is read in tasks of blocks, each of which is announced by `stage`.
  Operands(const ElementwiseCall& call, const ArrayView* upstream, bool in_tasks)
      : call_(call), operands_(call.loss.operands), pack_(active_pack<T>()), weighting_(active_weight<T>()) {
    const ArrayView* views[arrays] = {};
    std::copy_n(call.operands, operands_, views);
    views[weight_index] = call.weight;
    views[sample_index] = call.sample_weight;
    views[mask_index] = call.mask;
    views[upstream_index] = upstream;
    layout_ = lay_out(views, arrays, arrays_);
    stride_ = std::min(piece_size, (layout_.size + 63) / 64 * 64);
    stage_stride_ = std::min(task_size, (layout_.size + 63) / 64 * 64);
    for (int k = 0; k < arrays; ++k) {
      if (arrays_[k].data != nullptr) {
        repeat(k);
        const bool there = repeated_[k].numbers != nullptr || reads_in_place<T>(arrays_[k]);
        if (!there && in_tasks && columns_scatter(k)) {
          staged_[k] = ++stages_;
          in_columns_ = layout_.shape[layout_.ndim - 1] > block_size;
        }
        if ((selects() && k < operands_) || !(there || staged_[k] > 0)) {
          slot_[k] = slots_++;
        }
      }
    }
    if (selects()) {
      keep_slot_ = slots_++;
    }
    if (weighs()) {
      loss_slot_ = slots_++;
      divisor_slot_ = slots_++;
    }
  }

  [[nodiscard]] std::int64_t size() const { return layout_.size; }

  /// Numbers of scratch that a thread needs, and how far apart its blocks of them stand.
  [[nodiscard]] std::int64_t scratch() const { return slots_ * stride_ + stages_ * stage_stride_; }
  [[nodiscard]] std::int64_t stride() const { return stride_; }

  /// Whether some elements may take no part.
  [[nodiscard]] bool selects() const { return call_.mask != nullptr || call_.ignores; }

  /// Whether elements differ in what they count.
  [[nodiscard]] bool weighs() const { return call_.weight != nullptr || call_.sample_weight != nullptr || selects(); }

  /// How many elements of a block are worked on at a time.
  [[nodiscard]] std::int64_t piece() const { return slots_ > 0 || repeats_ ? piece_size : block_size; }

  /// Whether every operand is read where it stands and there is nothing else to read.
  [[nodiscard]] bool in_place() const { return slots_ == 0 && stages_ == 0 && !repeats_; }

  /// How blocks are handed out where rows are not taken in columns.
  [[nodiscard]] Grid grid() const { return {.task = stages_ > 0 ? task_blocks : streamed_blocks}; }

  /// Packs what is better packed for a whole task, elements [begin, end).
  void stage(std::int64_t begin, std::int64_t end, T* numbers) const {
    for (int k = 0; k < arrays; ++k) {
      if (staged_[k] > 0) {
        static_cast<void>(read_block<T>(layout_, arrays_[k], pack_, begin, end - begin, staged(k, begin, numbers)));
      }
    }
  }

  /// The order of the blocks that begin in [begin, end), where they are better not taken one after the other: a row may be so
  /// long that neighbours share no cache line.
  [[nodiscard]] bool in_columns() const { return in_columns_; }
  [[nodiscard]] ColumnOrder order() const {
    return {call_.begin, call_.end < 0 ? layout_.size : call_.end, layout_.shape[layout_.ndim - 1], block_size};
  }

  /// Packs what is better packed together for all blocks that begin in a stripe of a group of rows.
  void stage(const ColumnOrder& order, std::int64_t end, std::int64_t group, std::int64_t stripe, T* numbers) const {
    const std::int64_t columns = layout_.shape[layout_.ndim - 1];
    const std::int64_t top = group * ColumnOrder::rows;
    const std::int64_t bottom = std::min(top + ColumnOrder::rows, layout_.size / columns);
    std::int64_t first[ColumnOrder::rows];
    std::int64_t last[ColumnOrder::rows];
    for (std::int64_t row = top; row < bottom; ++row) {
      const std::int64_t block = order.block(row, stripe);
      first[row - top] = block >= 0 ? call_.begin + block * block_size : end;
      last[row - top] = std::min(first[row - top] + block_size, end);
    }
    for (int k = 0; k < arrays; ++k) {
      if (staged_[k] == 0) {
        continue;
      }
      const std::int64_t to = std::min((stripe + 2) * block_size, columns);
      for (std::int64_t left = stripe * block_size; left < to; left += turned_columns) {
        const std::int64_t width = std::min(turned_columns, to - left);
        for (std::int64_t row = top; row < bottom;) {
          const std::int64_t height = std::min(bottom - row, layout_.rows_below(row));
          stage_rows(k, row, height, left, width, first + (row - top), last + (row - top), numbers);
          row += height;
        }
      }
      // What a block has of the row after its own.
      for (std::int64_t row = top; row < bottom; ++row) {
        const std::int64_t from = std::max(first[row - top], (row + 1) * columns);
        if (from < last[row - top]) {
          static_cast<void>(read_block<T>(layout_, arrays_[k], pack_, from, last[row - top] - from, staged(k, from, numbers)));
        }
      }
    }
  }

  /// Points a block at elements [begin, begin + count).
  void point(ElementwiseBlock<T>& block, std::int64_t begin, std::int64_t count, T* numbers) const {
    block.size = count;
    for (int k = 0; k < operands_; ++k) {
      block.operand[k] = read(k, begin, count, numbers);
    }
    if (!selects()) {
      return;
    }
    T* keep = numbers + keep_slot_ * stride_;
    if (call_.mask != nullptr) {
      const T* mask = read(mask_index, begin, count, numbers);
      std::copy_n(mask, count, keep);
    } else {
      std::fill_n(keep, count, T(1));
    }
    weighting_.choose(keep, call_.ignores ? block.operand[1] : nullptr, static_cast<T>(call_.ignore_value), count);
    for (int k = 0; k < operands_; ++k) {
      T* guarded = numbers + slot_[k] * stride_;
      weighting_.guard(block.operand[k], keep, harmless, guarded, count);
      block.operand[k] = guarded;
    }
  }

  /// 1 for each kept element of the block last pointed at, 0 for the others; null where all are kept.
  const T* keep(const T* numbers) const { return selects() ? numbers + keep_slot_ * stride_ : nullptr; }

  /// How many elements of that block are kept.
  [[nodiscard]] std::int64_t kept(std::int64_t count, const T* numbers) const {
    return selects() ? static_cast<std::int64_t>(weighting_.total(keep(numbers), count)) : count;
  }

  /// The factors of that block.
  BlockFactors<T> factors(std::int64_t begin, std::int64_t count, T* numbers) const {
    if (!weighs()) {
      return {};
    }
    const T* weight = read(weight_index, begin, count, numbers);
    const T* sample = read(sample_index, begin, count, numbers);
    T* loss = numbers + loss_slot_ * stride_;
    T* divisor = numbers + divisor_slot_ * stride_;
    BlockFactors<T> result{weight != nullptr ? weight : sample, sample};
    if (weight != nullptr && sample != nullptr) {
      weighting_.product(weight, sample, T(1), loss, count);
      result.loss = loss;
    }
    if (call_.loss.weighted_mean) {
      result.divisor = result.loss;
    }
    if (const T* kept = keep(numbers); kept != nullptr) {
      const bool same = result.divisor == result.loss;
      result.loss = guarded(result.loss, kept, loss, count);
      result.divisor = same ? result.loss : guarded(result.divisor, kept, divisor, count);
    }
    return result;
  }

  /// Σ of a piece's factors; of those that repeat, taken once for all pieces.
  double sum_of(const T* factors, std::int64_t count) const {
    const bool whole = count == piece_size;
    for (int k = weight_index; whole && k <= sample_index; ++k) {
      if (factors == repeated_[k].every_piece) {
        return repeated_[k].sum;
      }
    }
    return weighting_.factors(factors, count);
  }

  /// The upstream gradients of those elements; null where there are none.
  const T* upstream(std::int64_t begin, std::int64_t count, T* numbers) const {
    return read(upstream_index, begin, count, numbers);
  }

 private:
  static constexpr int weight_index = max_operands;
  static constexpr int sample_index = max_operands + 1;
  static constexpr int mask_index = max_operands + 2;
  static constexpr int upstream_index = max_operands + 3;
  static constexpr int arrays = max_operands + 4;
  static constexpr std::int64_t turned_columns = 256;   // whose cache lines stay in the first cache for all rows of a group
  static constexpr std::int64_t gathered_columns = 32;  // of which a piece takes whole cache lines
  static constexpr T harmless = T(0.5);                 // in every domain

  const T* read(int k, std::int64_t begin, std::int64_t count, T* numbers) const {
    if (arrays_[k].data == nullptr) {
      return nullptr;
    }
    if (const Repeated& one = repeated_[k]; one.numbers != nullptr) {
      return one.numbers.get() + begin % one.period;
    }
    if (staged_[k] > 0) {
      return staged(k, begin, numbers);
    }
    return read_block<T>(layout_, arrays_[k], pack_, begin, count, numbers + slot_[k] * stride_);
  }

  /// Where an element of a staged array is put.
  T* staged(int k, std::int64_t element, T* numbers) const {
    const std::int64_t place = in_columns_ ? order().place(element) * block_size + (element - order().start(element))
                                           : (element - call_.begin) % task_size;
    return numbers + slots_ * stride_ + (staged_[k] - 1) * stage_stride_ + place;
  }

  /// Turns a few columns of some rows and puts what is in the elements [first, last) of each where it is staged.
  void stage_rows(int k, std::int64_t row, std::int64_t height, std::int64_t left, std::int64_t width,
                  const std::int64_t* first, const std::int64_t* last, T* numbers) const {
    const std::int64_t columns = layout_.shape[layout_.ndim - 1];
    std::int64_t index[max_dims];
    T turned[ColumnOrder::rows * turned_columns];
    bool there = false;
    for (std::int64_t r = 0; r < height; ++r) {
      const std::int64_t start = (row + r) * columns + left;
      const std::int64_t from = std::max(start, first[r]);
      const std::int64_t to = std::min(start + width, last[r]);
      if (from >= to) {
        continue;
      }
      if (!there) {
        const RowsCopy<T, PackTable<T>> copy(layout_, arrays_[k], pack_, 0);
        const char* at = place_of(layout_, arrays_[k], row * columns + left, index);
        const std::int64_t stride = arrays_[k].strides[layout_.ndim - 1];
        for (std::int64_t c = width; c < std::min(2 * width, columns - left); ++c) {
          prefetch(at + c * stride);
          prefetch(at + c * stride + line_bytes - 1);
        }
        copy(at, height, width, turned);
        there = true;
      }
      std::copy_n(turned + r * width + (from - start), to - from, staged(k, from, numbers));
    }
  }

  /// Whether the elements of a row stand far apart, and those of a column side by side: a piece takes a few numbers of each
  /// cache line then, and it is gone before the next piece comes.
  [[nodiscard]] bool columns_scatter(int k) const {
    const int last = layout_.ndim - 1;
    const Strided& array = arrays_[k];
    return last > 0 && layout_.shape[last] > gathered_columns && array.strides[last - 1] == item_size(array.dtype);
  }

  /// Packs an array that repeats one short row, once for all pieces: what stands from any of its elements on for a piece.
  void repeat(int k) {
    const int last = layout_.ndim - 1;
    const std::int64_t* strides = arrays_[k].strides;
    if (layout_.size == 0 || last < 0 || std::any_of(strides, strides + last, [](auto step) { return step != 0; })) {
      return;
    }
    const std::int64_t period = strides[last] == 0 ? 1 : layout_.shape[last];
    if (period > piece_size || period == layout_.size) {
      return;
    }
    const std::int64_t size = std::min(layout_.size, period + piece_size);
    repeated_[k].period = period;
    repeated_[k].numbers.reset(new T[static_cast<std::size_t>(size)]);
    static_cast<void>(read_block<T>(layout_, arrays_[k], pack_, 0, size, repeated_[k].numbers.get()));
    repeats_ = true;
    if ((k == weight_index || k == sample_index) && piece_size % period == 0 && size > piece_size) {
      repeated_[k].every_piece = repeated_[k].numbers.get() + call_.begin % period;
      repeated_[k].sum = weighting_.factors(repeated_[k].every_piece, piece_size);
    }
  }

  const T* guarded(const T* factor, const T* kept, T* to, std::int64_t count) const {
    if (factor == nullptr) {
      return kept;
    }
    weighting_.guard(factor, kept, T(0), to, count);
    return to;
  }

  /// The numbers of an array that repeats `period` of them, and where they stand one after the other.
  struct Repeated {
    std::int64_t period = 1;
    std::unique_ptr<T[]> numbers;
    const T* every_piece = nullptr;  // where whole pieces begin if all do at the same number, and their sum
    double sum = 0;
  };

  const ElementwiseCall& call_;
  int operands_;
  const PackTable<T>& pack_;
  const WeightTable<T>& weighting_;
  Layout layout_;
  std::int64_t stride_ = 0;
  std::int64_t slots_ = 0;
  std::int64_t slot_[arrays] = {};
  std::int64_t stage_stride_ = 0;
  std::int64_t stages_ = 0;
  std::int64_t staged_[arrays] = {};  // from 1; 0: not staged
  Repeated repeated_[arrays];
  bool repeats_ = false;
  bool in_columns_ = false;
  std::int64_t keep_slot_ = 0;
  std::int64_t loss_slot_ = 0;
  std::int64_t divisor_slot_ = 0;
  Strided arrays_[arrays];
};

/// A piece of a block: elements [first, first + count) of it.
struct Piece {
  std::int64_t first;
  std::int64_t count;
  bool closes;  // it is the last
};

/// Calls body(piece) for the pieces of a block, of `size` elements at most.
template <class Body>
void in_pieces(std::int64_t count, std::int64_t size, Body&& body) {
  for (std::int64_t first = 0; first < count; first += size) {
    const std::int64_t n = std::min(size, count - first);
    body(Piece{first, n, first + n == count});
  }
}

/// Lets a kernel go on with the lanes of the piece before.
template <class T>
void carry(ElementwiseBlock<T>& block, CarriedLanes& lanes, const Piece& piece) {
  lanes.opens = piece.first == 0;
  lanes.closes = piece.closes;
  block.carried = &lanes;
}

/// Runs body(block, thread, part) -> BadValue over the blocks of a range, in the order that suits the operands, which are
/// packed a task at a time where that is better.
template <class T, class Body>
Accumulator reduce_range(const Accumulator& total, const Operands<T>& operands, const Range& range, int threads,
                         const Interrupt& interrupt, const Scratch& scratch, Body&& body) {
  if (operands.in_columns()) {
    const ColumnOrder order = operands.order();
    return reduce_columns(total, order, threads, interrupt, body, [&](std::int64_t group, std::int64_t stripe, int thread) {
      operands.stage(order, range.end, group, stripe, scratch.of<T>(thread));
    });
  }
  return reduce_blocks(total, range.blocks(), threads, interrupt, body, operands.grid(),
                       [&](std::int64_t first, std::int64_t last, int thread) {
                         operands.stage(range.at(first), range.at(last - 1) + range.size_of(last - 1), scratch.of<T>(thread));
                       });
}

template <class T>
Scratch scratch_for(int threads, std::int64_t numbers) {
  return {threads, static_cast<std::size_t>(numbers) * sizeof(T)};
}

}  // namespace ndloss
