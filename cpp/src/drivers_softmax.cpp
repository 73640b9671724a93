// Cross entropy, softmax and log-softmax over whole arrays: tiles of rows, and rows too long for a tile.
#include <algorithm>
#include <vector>

#include "long_row.hpp"
#include "ndloss/math.hpp"
#include "row_fold.hpp"
#include "softmax_grid.hpp"
#include "softmax_shares.hpp"
#include "staged_tiles.hpp"

namespace ndloss {
namespace {

/// Nanoseconds of one thread per logit, roughly.
constexpr double logit_cost = 0.5;

template <class T>
class SoftmaxDriver {
 public:
  SoftmaxDriver(const RowCall& call, SoftmaxJob job, const RowGradients* wanted, const ArrayView* upstream_logits,
                const Output& value)
      : base_(call, wanted, upstream_logits),
        job_(job),
        shares_(call, base_.walk.classes()),
        value_(value),
        in_place_(!takes_needed_place(base_.walk)),
        folds_(labelled() && base_.walk.class_stride(input_array) == item_size(call.input->dtype) &&
               foldable(base_, value, converts(base_))),
        streams_(base_.streams && !base_.walk.across() && alone(base_.walk)),
        turns_(stands_in_columns<T>(base_.walk)) {}

  Accumulator run() const {
    const std::int64_t rows = base_.end - base_.call.begin;
    const std::int64_t classes = base_.walk.classes();
    const std::int64_t logits = rows * std::max<std::int64_t>(classes, 1);
    const int threads = threads_for(static_cast<std::int64_t>(static_cast<double>(logits) * logit_cost), base_.call.threads);
    if (classes == 0) {
      return base_.rows_of_nothing(value_);
    }
    if (classes > parallel_row) {
      return run_rows_in_segments(threads);
    }
    const std::int64_t each = rows_per_block(classes);
    const Scratch scratch(threads, static_cast<std::size_t>(scratch_numbers()) * sizeof(T));
    std::vector<TurnedRows<T>> turned(static_cast<std::size_t>(threads));
    std::vector<Stage<T>> stages(static_cast<std::size_t>(threads));
    const auto row_of = [&](std::int64_t block) { return std::min(base_.call.begin + block * each, base_.end); };
    const auto turn = [&](std::int64_t first, std::int64_t last, int thread) {
      stages[static_cast<std::size_t>(thread)].end = row_of(last);
      if (turns_) {
        T* to = scratch.template of<T>(thread) + tile_scratch();
        turned[static_cast<std::size_t>(thread)] = turn_rows(base_.walk, row_of(first), row_of(last), to);
      }
    };
    const auto run_one = [&](std::int64_t block, int thread, Part& part) {
      return run_block(row_of(block), row_of(block + 1), scratch.template of<T>(thread),
                       turned[static_cast<std::size_t>(thread)], stages[static_cast<std::size_t>(thread)], part);
    };
    const Grid grid{.task = turns_ ? turned_blocks(classes) : task_blocks};
    return reduce_blocks(base_.call.initial, (rows + each - 1) / each, threads, base_.call.interrupt, run_one, grid, turn);
  }

 private:
  BadValue run_block(std::int64_t begin, std::int64_t end, T* numbers, const TurnedRows<T>& turned, Stage<T>& stage,
                     Part& part) const {
    const RowWalk& walk = base_.walk;
    const std::int64_t classes = walk.classes();
    const auto staged = stage.block(walk, begin, end, rows_per_block(classes), numbers + tile_scratch());
    const std::int64_t done = staged.input != nullptr && folds_staged(staged) ? fold_staged(begin, staged, part) : 0;
    const BadValue bad = fold_rows(
        base_, folds_ && staged.input == nullptr, begin + done, end, tile_height(), value_, part,
        [&](const LabelledRows<T>& rows, std::int64_t tiles, RowSum& total) {
          return fold()(rows, numbers, numbers + tile_numbers(), tiles, total);
        },
        [&](std::int64_t row, int count) {
          if (classes > row_segment) {
            SegmentState states[parallel_row / row_segment];
            return long_row(row, 1, states, [&](int /*thread*/) { return numbers; }, part);
          }
          const StagedTiles<T> places = turned.first != nullptr ? turned.at(row, classes) : staged.take(walk, row - begin);
          return run_tile(row, count, numbers, places, part);
        },
        converts(base_) ? numbers + tile_scratch() : nullptr);
    if (staged.output != nullptr) {
      staged.put_out(walk, base_.streams);
    }
    return bad;
  }

  [[nodiscard]] auto fold() const { return table().folds[static_cast<int>(job_)]; }

  /// Whether rows have nothing beside their classes but a label each, and weights.
  [[nodiscard]] bool labelled() const {
    return is_loss() && base_.walk.across() && shares_.kind == Coefficients::none && base_.call.labels != nullptr;
  }

  /// Whether staged tiles can go to the kernel as they are.
  [[nodiscard]] bool folds_staged(const StagedTiles<T>& staged) const {
    const bool stored = base_.wanted == nullptr || (staged.output != nullptr && base_.wanted->upstream == nullptr);
    return labelled() && stored && Writer<T>(value_, 0).slots() == 0;
  }

  /// The share of the block behind that is copied before a tile.
  struct Share {
    const StagedTiles<T>& staged;
    const RowWalk& walk;
    std::int64_t first;

    static LinesAhead copy(const void* share, std::ptrdiff_t tile) {
      const auto& at = *static_cast<const Share*>(share);
      return at.staged.take(at.walk, (at.first + tile) * tile_rows).lines;
    }
  };

  /// Folds staged tiles up to the first with a bad label; how many rows that were.
  std::int64_t fold_staged(std::int64_t begin, const StagedTiles<T>& staged, Part& part) const {
    const RowWalk& walk = base_.walk;
    const bool even = walk.even(begin, staged.tiles * tile_rows);
    RowSum total = begin_fold(part);
    std::int64_t done = 0;
    for (std::int64_t tiles = 0, folded = 0; done < staged.tiles && folded == tiles; done += folded) {
      tiles = even ? std::min(staged.tiles - done, fold_tiles) : 1;
      const std::int64_t row = begin + done * tile_rows;
      const auto count = static_cast<int>(tiles * tile_rows);
      const Share share{staged, walk, done};
      RowCopies copies;
      LabelledRows<T> rows;
      copy_rows(base_, walk.offsets(row, count), count, copied_rows, copies, rows);
      rows.classes = walk.classes();
      rows.class_stride = staged.class_stride;
      if (staged.ahead != nullptr) {
        rows.before = {Share::copy, &share};
      }
      if (value_.wanted()) {
        rows.value = static_cast<T*>(value_.data) + (row - base_.call.begin);
      }
      T* const numbers = staged.input + done * tile_rows;
      folded = fold()(rows, numbers, numbers, tiles, total);
    }
    add_fold(total, part);
    return done * tile_rows;
  }

  /// Whether no other result has the output's shape.
  [[nodiscard]] static bool alone(const RowWalk& walk) {
    return !walk.present(grad_target_array) && !walk.present(grad_weight_array) && !walk.present(curvature_array);
  }

  [[nodiscard]] std::int64_t tile_height() const { return rows_per_tile(base_.walk.classes()); }

  /// Numbers of one array's tile in scratch: whole lines, and one more for numbers that are streamed.
  [[nodiscard]] std::int64_t tile_numbers() const {
    constexpr auto line = static_cast<std::int64_t>(line_numbers<T>);
    const std::int64_t numbers = tile_height() * std::clamp<std::int64_t>(base_.walk.classes(), 1, row_segment);
    return ((numbers + line - 1) / line + 1) * line;
  }

  /// Numbers of scratch for a tile, and for what is staged, turned or converted behind it.
  [[nodiscard]] std::int64_t scratch_numbers() const {
    const RowWalk& walk = base_.walk;
    const bool stages = walk.across() && scattered(walk.classes(), walk.class_stride(input_array));
    const std::int64_t rows = rows_per_block(walk.classes());
    const std::int64_t turned = turns_ ? turned_blocks(walk.classes()) * rows : 0;
    const std::int64_t converted = folds_ && converts(base_) ? converted_tiles(walk.classes()) * tile_rows : 0;
    return tile_scratch() + ((stages ? Stage<T>::numbers_per_class(rows) : 0) + turned + converted) * walk.classes();
  }

  /// Every array with a class axis.
  [[nodiscard]] std::int64_t tile_scratch() const { return tile_numbers() * class_arrays; }

  [[nodiscard]] static const SoftmaxTable<T>& table() {
    const SoftmaxTables& tables = *active_kernels().softmax;
    if constexpr (sizeof(T) == 4) {
      return tables.single;
    } else {
      return tables.twice;
    }
  }

  [[nodiscard]] const SoftmaxKernels<T>& kernels() const { return table().at(base_.walk.classes(), job_, shares_.kind); }

  [[nodiscard]] bool is_loss() const { return job_ == SoftmaxJob::value || job_ == SoftmaxJob::gradient; }

  /// Whether the losses of a tile are added up before their logarithms are taken, whatever its layout.
  [[nodiscard]] bool folds_losses() const {
    return folds_logarithms<T> && labelled() && !weighs_rows(base_.call) && !value_.wanted();
  }

  void set_common(SoftmaxTile<T>& tile, const TileRows<T>& rows) const {
    tile.per_class = shares_.per_class.empty() ? nullptr : shares_.per_class.data();
    tile.shared = shares_.shared;
    tile.keep = shares_.keep;
    tile.add = shares_.add;
    if (base_.walk.present(label_array)) {
      tile.label = rows.labels.label;
      tile.label_weight = rows.labels.weight;
      tile.label_share = 1.0 - base_.call.label_smoothing;
    } else if (base_.call.selects()) {
      tile.takes_part = rows.labels.keep;
    }
    tile.scale = base_.wanted != nullptr ? rows.scale : nullptr;
  }

  BadValue run_tile(std::int64_t row, int count, T* numbers, const StagedTiles<T>& staged, Part& part) const {
    const RowWalk& walk = base_.walk;
    const RowOffsets offsets = walk.offsets(row, count);
    TileRows<T> rows;
    base_.read_rows(offsets, row, count, rows);
    double losses[tile_rows];
    SoftmaxTile<T> tile;
    set_common(tile, rows);
    tile.rows = count;
    tile.classes = walk.classes();
    tile.ahead = staged.lines;
    FoldedLosses folded;
    tile.value = folds_losses() ? nullptr : losses;
    tile.folded = folds_losses() ? &folded : nullptr;
    const std::int64_t each = tile_numbers();
    const auto readable = [&](int k) {
      TileNumbers<T> place = in_place<T>(walk, k, offsets, count);
      if (!place.direct) {
        place = in_scratch(walk, numbers + k * each);
        pack_tile(walk, k, offsets, count, place);
      }
      return place;
    };
    const TileNumbers<T> input = staged.input != nullptr ? staged.numbers(staged.input) : readable(input_array);
    tile.input = input.data;
    tile.row_stride = input.row_stride;
    tile.class_stride = input.class_stride;
    if (walk.present(target_array)) {
      const TileNumbers<T> target = readable(target_array);
      tile.target = target.data;
      tile.target_row_stride = target.row_stride;
      tile.target_class_stride = target.class_stride;
    }
    // The outputs share one layout: all in place, or all through scratch. Exponentials need one even where only other
    // gradients are wanted.
    TileNumbers<T> places[class_arrays];
    bool direct = in_place_ && walk.present(output_array);
    if (staged.output != nullptr) {
      places[output_array] = staged.numbers(staged.output);
    } else if (job_ != SoftmaxJob::value) {
      for (int k = output_array; k < class_arrays; ++k) {
        if (walk.present(k)) {
          places[k] = in_place<T>(walk, k, offsets, count);
          direct = direct && places[k].direct && places[k].row_stride == places[output_array].row_stride &&
                   places[k].class_stride == places[output_array].class_stride;
        }
      }
      for (int k = output_array; k < class_arrays && !direct; ++k) {
        if (walk.present(k) || k == output_array) {
          places[k] = in_scratch(walk, numbers + k * each);
        }
      }
    }
    if (streams_ && direct && places[output_array].row_stride == walk.classes()) {
      tile.stream = places[output_array].data;
      places[output_array].data = alike(numbers + output_array * each, tile.stream);
    }
    if (job_ != SoftmaxJob::value) {
      tile.output = places[output_array].data;
      tile.output_row_stride = places[output_array].row_stride;
      tile.output_class_stride = places[output_array].class_stride;
      tile.grad_target = places[grad_target_array].data;
      tile.grad_weight = places[grad_weight_array].data;
      tile.curvature = places[curvature_array].data;
    }
    kernels().tile(tile);
    for (int k = output_array; k < class_arrays && job_ != SoftmaxJob::value && !direct; ++k) {
      if (walk.present(k) && staged.output == nullptr) {
        unpack_tile(walk, k, offsets, count, places[k]);
      }
    }
    if (folds_losses()) {
      double sums[FoldedLosses::tiles];
      table().sum_losses(folded, sums);
      base_.add_rows({sums[0], 0.0}, count, rows.labels, part);
    } else if (is_loss()) {
      base_.finish_rows(row, count, losses, rows.labels, value_, part);
    }
    return rows.labels.bad;
  }

  // ---- rows of more than one segment ----

  /// One segment of a row as a tile of one row, its arrays in place or in scratch.
  struct Segment {
    SoftmaxTile<T> tile;
    bool direct = true;  // outputs in place
  };

  Segment segment(const RowOffsets& offsets, const TileRows<T>& rows, std::int64_t index, T* numbers) const {
    const RowWalk& walk = base_.walk;
    const std::int64_t begin = index * row_segment;
    const std::int64_t size = std::min(row_segment, walk.classes() - begin);
    Segment result;
    SoftmaxTile<T>& tile = result.tile;
    set_common(tile, rows);
    tile.rows = 1;
    tile.classes = size;
    tile.class_stride = tile.target_class_stride = tile.output_class_stride = 1;
    tile.row_stride = size;  // where the next segment begins
    tile.per_class = tile.per_class == nullptr ? nullptr : tile.per_class + begin;
    const auto address = [&](int k) { return walk.array(k).data + offsets.at(k, 0) + begin * walk.class_stride(k); };
    const auto fits = [&](int k) { return in_place<T>(walk, k, offsets, 1).direct; };
    const auto readable = [&](int k) -> const T* {
      if (fits(k)) {
        return reinterpret_cast<const T*>(address(k));
      }
      const Strided& array = walk.array(k);
      T* to = numbers + k * tile_numbers();
      active_pack<T>().pack[static_cast<int>(array.dtype)][array.swapped ? 1 : 0](address(k), walk.class_stride(k), size, to,
                                                                                  1);
      return to;
    };
    tile.input = readable(input_array);
    if (walk.present(target_array)) {
      tile.target = readable(target_array);
    }
    if (job_ != SoftmaxJob::value) {
      result.direct = in_place_ && walk.present(output_array);
      for (int k = output_array; k < class_arrays; ++k) {
        result.direct = result.direct && (!walk.present(k) || fits(k));
      }
      const auto writable = [&](int k) -> T* {
        if (!walk.present(k) && k != output_array) {
          return nullptr;
        }
        return result.direct ? reinterpret_cast<T*>(const_cast<char*>(address(k))) : numbers + k * tile_numbers();
      };
      tile.output = writable(output_array);
      tile.grad_target = writable(grad_target_array);
      tile.grad_weight = writable(grad_weight_array);
      tile.curvature = writable(curvature_array);
    }
    return result;
  }

  /// Folds, finishes and puts out one long row, its segments on `threads` threads; `numbers_of` gives a thread its scratch.
  template <class NumbersOf>
  BadValue long_row(std::int64_t row, int threads, SegmentState* states, const NumbersOf& numbers_of, Part& part) const {
    const RowWalk& walk = base_.walk;
    const RowOffsets offsets = walk.offsets(row, 1);
    const std::int64_t count = (walk.classes() + row_segment - 1) / row_segment;
    TileRows<T> rows;
    base_.read_rows(offsets, row, 1, rows);
    const SoftmaxKernels<T>& kernel = kernels();
    const bool labelled = walk.present(label_array) && rows.labels.label[0] >= 0;
    const bool kept = walk.present(label_array) ? labelled : !base_.call.selects() || rows.labels.keep[0];
    T label_input = 0;
    if (labelled) {  // before the exponentials, which may take the logits' place
      base_.read_one(input_array, offsets.at(input_array, 0) + rows.labels.label[0] * walk.class_stride(input_array),
                     label_input);
    }
    auto fold = [&](std::int64_t s, int thread) {
      states[s] = kernel.fold(segment(offsets, rows, s, numbers_of(thread)).tile);
    };
    parallel_for(count, threads, fold);
    LongRow whole = merge(states, count);
    if (shares_.kind == Coefficients::shared) {
      whole.coefficients = shares_.shared;  // added once, and compensated
    }

    double a = 0;
    if (labelled) {
      a = static_cast<double>(static_cast<T>((1.0 - base_.call.label_smoothing) * rows.labels.weight[0]));
      const double origin = whole.row.max == -math::infinity<double> ? 0.0 : whole.row.max;
      whole.coefficients += a;
      whole.distance += math::product_or_zero(a, origin - static_cast<double>(label_input));
    }
    if (is_loss()) {
      double loss = kept ? CrossEntropyLoss::value(whole.row, whole.coefficients, whole.distance) : 0.0;
      base_.finish_rows(row, 1, &loss, rows.labels, value_, part);
    }
    if (job_ == SoftmaxJob::value) {
      return rows.labels.bad;
    }

    const auto share = [&](std::int64_t s) {
      const double below = states[s].max == whole.row.max ? 1.0 : exp_difference(states[s].max, whole.row.max);
      return states[s].share * below * whole.row.share;
    };
    // A segment whose results go through scratch has lost its exponentials by now: they are taken again.
    const auto again = [&](std::int64_t s, T* numbers) {
      const Segment one = segment(offsets, rows, s, numbers);
      if (!one.direct) {
        static_cast<void>(kernel.fold(one.tile));
      }
      return one;
    };
    double inner = 0;
    if (job_ == SoftmaxJob::softmax_vjp || job_ == SoftmaxJob::log_softmax_vjp) {
      auto product = [&](std::int64_t s, int thread) {
        states[s].distance = kernel.inner(again(s, numbers_of(thread)).tile, share(s));
      };
      parallel_for(count, threads, product);
      for (std::int64_t s = 0; s < count; ++s) {
        inner += states[s].distance;
      }
    }
    auto emit = [&](std::int64_t s, int thread) {
      T* numbers = numbers_of(thread);
      const Segment one = again(s, numbers);
      kernel.emit(one.tile, whole.row, share(s), whole.coefficients, inner, kept);
      for (int k = output_array; k < class_arrays && !one.direct; ++k) {
        if (walk.present(k)) {
          const Strided& array = walk.array(k);
          const std::int64_t begin = s * row_segment;
          store_numbers(numbers + k * tile_numbers(), 1, one.tile.classes, array,
                        const_cast<char*>(array.data) + offsets.at(k, 0) + begin * walk.class_stride(k), walk.class_stride(k));
        }
      }
    };
    parallel_for(count, threads, emit);
    if (job_ == SoftmaxJob::gradient && labelled && walk.present(output_array)) {
      write_label_slope(offsets, rows, whole, a, static_cast<double>(label_input));
    }
    return rows.labels.bad;
  }

  void write_label_slope(const RowOffsets& offsets, const TileRows<T>& rows, const LongRow& whole, double a,
                         double label_input) const {
    const std::int64_t y = rows.labels.label[0];
    const double shared =
        shares_.kind == Coefficients::shared ? static_cast<double>(shares_.per_class[static_cast<std::size_t>(y)]) : 0.0;
    const double probability = exp_difference(label_input, whole.row.max) * whole.row.share;
    const double slope = CrossEntropyLoss::slope_at_target(whole.row, whole.coefficients, a + shared, label_input, probability);
    const T result = static_cast<T>(slope) * rows.scale[0];
    const Strided& array = base_.walk.array(output_array);
    const std::int64_t stride = base_.walk.class_stride(output_array);
    store_numbers(&result, 1, 1, array, const_cast<char*>(array.data) + offsets.at(output_array, 0) + y * stride, stride);
  }

  /// Rows so long that each is a parallel job of its own.
  Accumulator run_rows_in_segments(int threads) const {
    const std::int64_t count = (base_.walk.classes() + row_segment - 1) / row_segment;
    std::vector<SegmentState> states(static_cast<std::size_t>(count));
    const Scratch scratch(threads, static_cast<std::size_t>(scratch_numbers()) * sizeof(T));
    const std::int64_t each = rows_per_block(base_.walk.classes());
    Accumulator total = base_.call.initial;
    for (std::int64_t begin = base_.call.begin; begin < base_.end; begin += each) {
      Part part;
      for (std::int64_t row = begin; row < std::min(begin + each, base_.end); ++row) {
        base_.call.interrupt.check();
        total.bad.merge(
            long_row(row, threads, states.data(), [&](int thread) { return scratch.template of<T>(thread); }, part));
      }
      total += part.whole();
    }
    return total;
  }

  RowDriver<T> base_;
  SoftmaxJob job_;
  Shares<T> shares_;
  Output value_;
  bool in_place_;  // outputs may be written where they belong while a tile is at work
  bool folds_;     // contiguous rows go to the kernel several tiles at a time
  bool streams_;   // long rows are put out past the caches
  bool turns_;     // rows that stand in columns are turned a task at a time
};

template <class T>
Accumulator run_as(const RowCall& call, SoftmaxJob job, const RowGradients* wanted, const ArrayView* upstream_logits,
                   const Output& value) {
  return SoftmaxDriver<T>(call, job, wanted, upstream_logits, value).run();
}

Accumulator run(const RowCall& call, SoftmaxJob job, const RowGradients* wanted, const ArrayView* upstream_logits,
                const Output& value) {
  return call.compute == DType::float64 ? run_as<double>(call, job, wanted, upstream_logits, value)
                                        : run_as<float>(call, job, wanted, upstream_logits, value);
}

}  // namespace

std::int64_t softmax_rows_per_block(std::int64_t classes) { return rows_per_block(classes); }

Accumulator run_cross_entropy(const RowCall& call, const RowGradients* wanted, const Output& value) {
  return run(call, wanted != nullptr ? SoftmaxJob::gradient : SoftmaxJob::value, wanted, nullptr, value);
}

void activate(RowActivation kind, const ArrayView& input, int axis, const ArrayView* upstream, DType compute, const Output& out,
              int threads, const Interrupt& interrupt) {
  RowCall call;
  call.input = &input;
  call.axis = axis;
  call.compute = compute;
  call.threads = threads;
  call.interrupt = interrupt;
  RowGradients wanted;
  wanted.input = out;
  const bool log = kind == RowActivation::log_softmax;
  const SoftmaxJob job = upstream == nullptr ? (log ? SoftmaxJob::log_softmax : SoftmaxJob::softmax)
                                             : (log ? SoftmaxJob::log_softmax_vjp : SoftmaxJob::softmax_vjp);
  static_cast<void>(run(call, job, &wanted, upstream, Output()));
}

}  // namespace ndloss
