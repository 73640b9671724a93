// Margin losses over whole arrays: tiles of rows, each with one target or with several.
#include <algorithm>

#include "row_fold.hpp"

namespace ndloss {
namespace {

/// Nanoseconds of one thread per score, roughly.
constexpr double one_target_cost = 0.5;
constexpr double several_targets_cost = 1.0;

/// Labels that say how often each class of a row has been met, and nothing between rows.
using Met = std::int32_t;

/// What a thread needs beside the stack, in bytes; each part on cache lines of its own.
template <class T>
class MarginScratch {
 public:
  MarginScratch(std::int64_t height, std::int64_t classes, bool across, bool several, bool gradient, bool copies, int threads)
      : numbers_(across   ? tile_rows * classes + line_numbers<T>
                 : copies ? height * classes
                          : 0),
        listed_(several ? height * classes : 0),
        per_class_(several ? classes : 0),
        memory_(threads, 3 * bytes(numbers_, sizeof(T)) + 2 * bytes(listed_, sizeof(std::int64_t)) + bytes(listed_, sizeof(T)) +
                             bytes(several && gradient ? classes : 0, sizeof(double)) + bytes(per_class_, sizeof(Met))) {
    has_slopes_ = several && gradient;
    for (int thread = 0; thread < threads; ++thread) {
      std::fill_n(of(thread, classes).met, per_class_, Met{0});
    }
  }

  struct Parts {
    T* input;              // across: a tile of scores (along: rows of them, if they must be copied), ...
    T* output;             // ... one of gradients, ...
    T* curvature;          // ... and one of second derivatives (several targets: of scores of other classes)
    std::int64_t* target;  // several targets: along, those of each row, ...
    T* times;              // ... how often each stands there (across: the labels of a tile, listed), ...
    std::int64_t* labels;  // ... all labels of a row as they were given (across, of a tile), ...
    double* slopes;        // ... a sum for each target, ...
    Met* met;              // ... and a mark for each class, 0 between rows
  };

  [[nodiscard]] Parts of(int thread, std::int64_t classes) const {
    char* at = memory_.template of<char>(thread);
    const auto take = [&](std::int64_t count, std::size_t size) {
      char* taken = at;
      at += bytes(count, size);
      return taken;
    };
    Parts parts{};
    parts.input = reinterpret_cast<T*>(take(numbers_, sizeof(T)));
    parts.output = reinterpret_cast<T*>(take(numbers_, sizeof(T)));
    parts.curvature = reinterpret_cast<T*>(take(numbers_, sizeof(T)));
    parts.target = reinterpret_cast<std::int64_t*>(take(listed_, sizeof(std::int64_t)));
    parts.labels = reinterpret_cast<std::int64_t*>(take(listed_, sizeof(std::int64_t)));
    parts.times = reinterpret_cast<T*>(take(listed_, sizeof(T)));
    parts.slopes = reinterpret_cast<double*>(take(has_slopes_ ? classes : 0, sizeof(double)));
    parts.met = reinterpret_cast<Met*>(take(per_class_, sizeof(Met)));
    return parts;
  }

 private:
  static std::size_t bytes(std::int64_t count, std::size_t size) {
    return (static_cast<std::size_t>(count) * size + 63) / 64 * 64;
  }

  std::int64_t numbers_;
  std::int64_t listed_;
  std::int64_t per_class_;
  bool has_slopes_ = false;
  Scratch memory_;
};

template <class T>
class MarginDriver {
 public:
  using Parts = typename MarginScratch<T>::Parts;

  MarginDriver(const RowCall& call, const RowGradients* wanted, const Output& value)
      : base_(call, wanted, nullptr),
        value_(value),
        several_(call.label_sets != nullptr),
        gradient_(wanted != nullptr && wanted->input.wanted()),
        curvature_(base_.walk.present(curvature_array)),
        classes_(base_.walk.classes()) {}

  Accumulator run() const {
    const RowCall& call = base_.call;
    const std::int64_t rows = base_.end - call.begin;
    const double cost = several_ ? several_targets_cost : one_target_cost;
    const int threads = threads_for(static_cast<std::int64_t>(static_cast<double>(rows * classes_) * cost), call.threads);
    const std::int64_t height =
        base_.walk.across() ? tile_rows : std::clamp<std::int64_t>(4096 / std::max<std::int64_t>(classes_, 1), 1, tile_rows);
    const std::int64_t each = margin_rows_per_block(call.kind, classes_);
    const MarginScratch<T> scratch(height, classes_, base_.walk.across(), several_, gradient_, copies_rows(), threads);
    constexpr auto size = static_cast<std::int64_t>(sizeof(T));
    const bool folds =
        base_.walk.across() && base_.walk.class_stride(input_array) == size && !weighs_rows(call) && foldable(base_, value_);
    const auto fold = folds ? table().fold(job(), kind()) : nullptr;
    const T margin = static_cast<T>(call.margin);
    return reduce_blocks(call.initial, (rows + each - 1) / each, threads, call.interrupt,
                         [&](std::int64_t block, int thread, Part& part) {
                           const std::int64_t begin = call.begin + block * each;
                           const std::int64_t end = std::min(begin + each, base_.end);
                           const Parts parts = scratch.of(thread, classes_);
                           return fold_rows(
                               base_, folds, begin, end, height, value_, part,
                               [&](const LabelledRows<T>& rows_of_tiles, std::int64_t tiles, RowSum& total) {
                                 return fold(rows_of_tiles, margin, room(parts), tiles, total);
                               },
                               [&](std::int64_t row, int count) { return tile(row, count, parts, part); });
                         });
  }

 private:
  BadValue tile(std::int64_t row, int count, const Parts& parts, Part& part) const {
    const RowWalk& walk = base_.walk;
    const RowOffsets offsets = walk.offsets(row, count);
    TileRows<T> rows;
    base_.read_rows(offsets, row, count, rows);
    double sums[tile_rows];
    MarginTile<T> tile;
    tile.rows = count;
    tile.classes = classes_;
    tile.margin = static_cast<T>(base_.call.margin);
    tile.value = sums;
    if (several_) {
      tile.target_stride = classes_;
      std::fill_n(rows.labels.weight, count, 1.0);
      if (walk.across()) {
        const bool inside = read_sets(offsets, row, 0, count, parts, rows.labels);
        tile.target = parts.labels;
        for (int r = 0; r < tile_rows; ++r) {
          if (!inside || r >= count || left_out(rows.labels, r)) {
            std::fill_n(parts.labels + r * classes_, classes_, std::int64_t{-1});
          }
        }
      } else {
        tile.target = parts.target;
        tile.times = parts.times;
        tile.slopes = parts.slopes;
        for (int r = 0; r < count; ++r) {  // one by one: the labels of a row stay in L1 until its targets are listed
          if (left_out(rows.labels, r)) {
            tile.count[r] = 0;
            continue;
          }
          const std::int64_t* labels = labels_in_place(offsets, r);
          if (labels == nullptr && read_sets(offsets, row, r, 1, parts, rows.labels)) {
            labels = parts.labels;
          }
          tile.count[r] = labels != nullptr ? list_targets(r, labels, parts) : 0;
        }
      }
    } else {
      tile.target = rows.labels.label;
      tile.target_stride = 1;
      for (int r = 0; r < count; ++r) {
        tile.count[r] = rows.labels.label[r] >= 0 && rows.labels.weight[r] != 0 ? 1 : 0;
      }
    }
    if (gradient_) {
      for (int r = 0; r < tile_rows; ++r) {
        const double scale = r < count ? static_cast<double>(rows.scale[r]) : 0.0;
        tile.coefficient[r] =
            r < count && !left_out(rows.labels, r)
                ? static_cast<T>(MultiMarginLoss::value(scale, rows.labels.weight[r], static_cast<double>(classes_)))
                : T(0);
      }
    }
    if (walk.across()) {
      run_across(offsets, count, parts, tile);
    } else {
      run_along(offsets, count, parts, tile);
    }
    double losses[tile_rows];
    for (int r = 0; r < count; ++r) {  // a row without targets has a sum of 0
      losses[r] = MultiMarginLoss::value(sums[r], rows.labels.weight[r], static_cast<double>(classes_));
    }
    base_.finish_rows(row, count, losses, rows.labels, value_, part);
    return rows.labels.bad;
  }

  [[nodiscard]] static MarginRoom<T> room(const Parts& parts) {
    return {parts.input, parts.output, parts.curvature, parts.times};
  }

  [[nodiscard]] bool left_out(const TileLabels& labels, int r) const { return base_.call.selects() && !labels.keep[r]; }

  /// Whether the gradient of a row's first classes takes the place of scores that later classes still need.
  [[nodiscard]] bool copies_rows() const {
    const RowWalk& walk = base_.walk;
    const void* scores = walk.array(input_array).data;
    return !walk.across() && (walk.array(output_array).data == scores || walk.array(curvature_array).data == scores);
  }

  /// The labels of a row where they stand, if they can be read there and all of them are labels.
  [[nodiscard]] const std::int64_t* labels_in_place(const RowOffsets& offsets, int r) const {
    const Strided& array = base_.walk.array(target_array);
    const char* at = array.data + offsets.at(target_array, r);
    const auto* labels = reinterpret_cast<const std::int64_t*>(at);
    const bool native = native_at<std::int64_t>(array, at) && base_.walk.class_stride(target_array) == sizeof(std::int64_t);
    return native && active_kernels().margin->inside(labels, classes_, MultiLabelMarginLoss::lowest_label, classes_) ? labels
                                                                                                                     : nullptr;
  }

  /// Reads the labels of `count` rows of a tile, which begins with row `row`, from its row `first` on; whether all are labels.
  /// The first that is none goes to `bad`.
  bool read_sets(const RowOffsets& offsets, std::int64_t row, int first, int count, const Parts& parts,
                 TileLabels& rows) const {
    const Strided& array = base_.walk.array(target_array);
    const auto pack = active_kernels().pack->label.pack[static_cast<int>(array.dtype)][array.swapped ? 1 : 0];
    const std::int64_t stride = base_.walk.class_stride(target_array);
    std::int64_t row_stride = 0;
    const std::int64_t labels = count * classes_;
    if (offsets.even(target_array, count, row_stride) && (count == 1 || row_stride == classes_ * stride)) {
      pack(array.data + offsets.at(target_array, first), stride, labels, parts.labels, 1);
    } else {
      for (int r = 0; r < count; ++r) {
        pack(array.data + offsets.at(target_array, first + r), stride, classes_, parts.labels + r * classes_, 1);
      }
    }
    for (int r = 0; r < count; ++r) {
      if (left_out(rows, first + r)) {
        std::fill_n(parts.labels + r * classes_, classes_, std::int64_t{0});
      }
    }
    const std::int64_t lowest = array.dtype == DType::uint64 ? 0 : MultiLabelMarginLoss::lowest_label;
    if (active_kernels().margin->inside(parts.labels, labels, lowest, classes_)) {
      return true;
    }
    std::int64_t i = 0;
    while (parts.labels[i] >= lowest && parts.labels[i] < classes_) {
      ++i;
    }
    rows.bad.merge({.index = (row + first) * classes_ + i, .value = static_cast<std::uint64_t>(parts.labels[i]), .operand = 1});
    return false;
  }

  /// The distinct targets of row r and how often each stands there; how many there are. Another thread may have changed labels
  /// since they were checked.
  std::int64_t list_targets(int r, const std::int64_t* labels, const Parts& parts) const {
    std::int64_t* target = parts.target + r * classes_;
    T* times = parts.times + r * classes_;
    std::int64_t count = 0;
    for (std::int64_t c = 0; c < classes_; ++c) {
      const std::int64_t label = labels[c];
      if (static_cast<std::uint64_t>(label) >= static_cast<std::uint64_t>(classes_)) {
        break;
      }
      Met& met = parts.met[label];
      if (met == 0) {
        target[count] = label;
        times[count] = 1;
        met = static_cast<Met>(++count);
      } else {
        times[met - 1] += 1;
      }
    }
    for (std::int64_t k = 0; k < count; ++k) {
      parts.met[target[k]] = 0;
    }
    return count;
  }

  void run_across(const RowOffsets& offsets, int count, const Parts& parts, MarginTile<T>& tile) const {
    const RowWalk& walk = base_.walk;
    pack_tile(walk, input_array, offsets, count, in_scratch(walk, parts.input));
    tile.room = room(parts);
    tile.curvature = curvature_ ? parts.curvature : nullptr;
    kernel()(tile);
    if (gradient_) {
      unpack_tile(walk, output_array, offsets, count, in_scratch(walk, parts.output));
    }
    if (curvature_) {
      unpack_tile(walk, curvature_array, offsets, count, in_scratch(walk, parts.curvature));
    }
  }

  void run_along(const RowOffsets& offsets, int count, const Parts& parts, MarginTile<T>& tile) const {
    const RowWalk& walk = base_.walk;
    const Strided& input = walk.array(input_array);
    tile.class_stride = walk.class_stride(input_array);
    bool in_place = input.dtype == dtype_of<T>() && !input.swapped && tile.class_stride == static_cast<std::int64_t>(sizeof(T));
    for (int r = 0; r < count; ++r) {
      tile.row[r] = input.data + offsets.at(input_array, r);
      in_place = in_place && reinterpret_cast<std::uintptr_t>(tile.row[r]) % sizeof(T) == 0;
    }
    if (copies_rows()) {
      pack_tile(walk, input_array, offsets, count, in_scratch(walk, parts.input));
      tile.class_stride = static_cast<std::ptrdiff_t>(sizeof(T));
      for (int r = 0; r < count; ++r) {
        tile.row[r] = reinterpret_cast<const char*>(parts.input + r * classes_);
      }
    } else if (!in_place) {
      tile.pack = active_pack<T>().pack[static_cast<int>(input.dtype)][input.swapped ? 1 : 0];
    }
    if (gradient_) {
      point_rows(output_array, offsets, count, tile.out);
    }
    if (curvature_) {
      point_rows(curvature_array, offsets, count, tile.second);
    }
    kernel()(tile);
  }

  void point_rows(int k, const RowOffsets& offsets, int count, MarginRows<T>& rows) const {
    const Strided& output = base_.walk.array(k);
    rows.stride = base_.walk.class_stride(k);
    rows.array = &output;
    bool in_place = rows.stride == static_cast<std::int64_t>(sizeof(T));
    for (int r = 0; r < count; ++r) {
      rows.row[r] = const_cast<char*>(output.data) + offsets.at(k, r);
      in_place = in_place && native_at<T>(output, rows.row[r]);
    }
    rows.streams = in_place && base_.streams;
    if (!in_place) {
      rows.store = store_numbers<T>;
    }
  }

  [[nodiscard]] MarginKind kind() const {
    return several_ ? MarginKind::several : base_.call.p == 2 ? MarginKind::one_squared : MarginKind::one;
  }

  [[nodiscard]] MarginJob job() const { return gradient_ ? MarginJob::gradient : MarginJob::value; }

  [[nodiscard]] static const MarginTable<T>& table() {
    if constexpr (sizeof(T) == 4) {
      return active_kernels().margin->single;
    } else {
      return active_kernels().margin->twice;
    }
  }

  [[nodiscard]] typename MarginTable<T>::Kernel kernel() const { return table().at(classes_, job(), kind()); }

  RowDriver<T> base_;
  Output value_;
  bool several_;
  bool gradient_;
  bool curvature_;
  std::int64_t classes_;
};

}  // namespace

/// A function of the number of classes alone. Several targets cost more: smaller blocks, so that a slice stays short.
std::int64_t margin_rows_per_block(RowKind kind, std::int64_t classes) {
  const std::int64_t scores = kind == RowKind::multilabel_margin ? 2048 : 8192;
  const std::int64_t rows = std::clamp<std::int64_t>(scores / std::max<std::int64_t>(classes, 1), 1, 8 * tile_rows);
  return classes < short_row ? (rows + tile_rows - 1) / tile_rows * tile_rows : rows;
}

Accumulator run_margin(const RowCall& call, const RowGradients* wanted, const Output& value) {
  return call.compute == DType::float64 ? MarginDriver<double>(call, wanted, value).run()
                                        : MarginDriver<float>(call, wanted, value).run();
}

}  // namespace ndloss
