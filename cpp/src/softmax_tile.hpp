/// What a softmax kernel is given: a tile of rows and where their results go. The one language of kernels and driver.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ndloss/prefetch.hpp"
#include "ndloss/softmax.hpp"

namespace ndloss {

/// Rows of a tile, and lanes of the kernels.
inline constexpr int tile_rows = 32;

/// Below this many classes the lanes run across rows, from it on along them.
inline constexpr std::ptrdiff_t short_row = 256;

/// A longer row is folded in segments of this many classes, anchored at class 0.
inline constexpr std::ptrdiff_t row_segment = 1 << 16;

/// Where a class's coefficient comes from, beside the target's own: nowhere, one for all rows, or the row's probabilities.
enum class Coefficients : std::uint8_t { none, shared, probabilities };

enum class SoftmaxJob : std::uint8_t { value, gradient, softmax, log_softmax, softmax_vjp, log_softmax_vjp };
inline constexpr int softmax_jobs = 6;

/// Memory that a tile asks for while it is computed, some lines at each of its steps: more at a time than the core has places
/// for would be forgotten.
struct LinesAhead {
  const char* at = nullptr;   // null: none
  std::ptrdiff_t left = 0;    // lines from there on that stand side by side, ...
  std::ptrdiff_t each = 0;    // ... and in each piece behind
  std::ptrdiff_t stride = 0;  // bytes from one piece to the next

  /// As many lines as so many classes of a tile take.
  template <class T>
  NDLOSS_INLINE void ask_classes(std::ptrdiff_t classes) {
    if (at != nullptr) {
      ask(classes * tile_rows * static_cast<std::ptrdiff_t>(sizeof(T)) / line_bytes);
    }
  }

  NDLOSS_INLINE void ask(std::ptrdiff_t lines) {
    while (lines > 0) {
      const std::ptrdiff_t some = lines < left ? lines : left;
      for (std::ptrdiff_t i = 0; i < some; ++i) {
        prefetch(at + i * line_bytes);
      }
      at += some * line_bytes;
      lines -= some;
      left -= some;
      if (left == 0) {
        left = each;
        at += stride - each * line_bytes;
      }
    }
  }
};

/// What a driver does before each of several tiles; it says what memory is to be asked for meanwhile.
struct BeforeTile {
  LinesAhead (*act)(const void* driver, std::ptrdiff_t tile) = nullptr;  // null: nothing
  const void* driver = nullptr;
};

/// Groups of a tile's rows that share a logarithm.
inline constexpr int tile_groups = 4;

/// The losses of some tiles' groups before their logarithms are taken: distance + log1p(rest).
struct FoldedLosses {
  static constexpr int tiles = tile_rows / tile_groups;

  double rest[tiles * tile_groups] = {};
  double distance[tiles * tile_groups] = {};
};

/// At most `tile_rows` rows, and at least one class. Strides count elements. Across kernels read and write all `tile_rows`
/// lanes of a class, which must be adjacent (row stride 1); along kernels need adjacent classes (class stride 1). Per-row
/// arrays have tile_rows entries.
template <class T>
struct SoftmaxTile {
  const T* input = nullptr;
  std::ptrdiff_t row_stride = 0;
  std::ptrdiff_t class_stride = 0;
  int rows = 0;
  std::ptrdiff_t classes = 0;

  const T* target = nullptr;  // probabilities of a loss, upstream gradient of an activation
  std::ptrdiff_t target_row_stride = 0;
  std::ptrdiff_t target_class_stride = 0;

  const T* per_class = nullptr;          // shared: a_c; probabilities: w_c
  double shared = 0;                     // Σ a_c of the shared coefficients
  T keep = 1;                            // 1 - eps
  T add = 0;                             // eps / C
  const std::int64_t* label = nullptr;   // class index, -1 for an ignored row and beyond the rows
  const double* label_weight = nullptr;  // w_y, 0 of an ignored row; null: 1
  double label_share = 1;                // 1 - eps
  const bool* takes_part = nullptr;      // of rows without labels; null: all do

  const T* scale = nullptr;  // multiplies a row's gradient
  T* output = nullptr;
  std::ptrdiff_t output_row_stride = 0;
  std::ptrdiff_t output_class_stride = 0;
  T* stream = nullptr;       // of along kernels: where rows without gaps go past the caches, if so; `output` is room, alike
  T* grad_target = nullptr;  // laid out as output
  T* grad_weight = nullptr;
  T* curvature = nullptr;
  LinesAhead ahead;         // of across kernels
  double* value = nullptr;  // the loss of each row
  /// Instead, where `folds_logarithms` and labels alone give coefficients, of 1: what their sum is made of, ...
  FoldedLosses* folded = nullptr;
  int folded_tile = 0;  // ... as this one of the tiles there
};

/// Whether the losses of short rows of labels alone are added up before their logarithms are taken. In double each logarithm
/// keeps the digits that a product would round away.
template <class T>
inline constexpr bool folds_logarithms = sizeof(T) == 4;

/// What one segment of a long row has come to: sums relative to its own maximum.
struct SegmentState {
  double max;
  double rest;   // Σ e^(x - max) over all but one maximum; may be -1 where there is no finite maximum
  double share;  // 2^-bias (stored exponential) share = e^(x - max)
  double coefficients;
  double distance;  // Σ a_c (max - x_c)
};

template <class T>
struct SoftmaxKernels {
  void (*tile)(const SoftmaxTile<T>& tile);
  /// For a segment of one long row, given as a tile of one row of `size` classes: its sums, its exponentials stored in the
  /// output where the job needs them again.
  SegmentState (*fold)(const SoftmaxTile<T>& segment);
  /// Σ g P or Σ g over the segment, for the vector-Jacobian products.
  double (*inner)(const SoftmaxTile<T>& segment, double share);
  /// Puts the segment out, given the whole row, its coefficient sum and its inner product.
  void (*emit)(const SoftmaxTile<T>& segment, const SoftmaxRow& row, double share, double coefficients, double inner,
               bool kept);
};

template <class T>
struct LabelledRows;
struct RowSum;

/// The kernels by job and coefficients, in one compute type.
template <class T>
struct SoftmaxTable {
  /// Whole tiles of fewer than `short_row` classes, given as rows of adjacent classes, their gradients wanted there too; or,
  /// with no `first`, as tiles side by side in `numbers`, `class_stride` from one class to the next, their gradients left in
  /// `output` likewise. Otherwise `numbers` and `output` have room for a tile. Adds their losses to `total`, up to the first
  /// tile with a bad label, and returns how many that were.
  using Fold = std::ptrdiff_t (*)(const LabelledRows<T>& rows, T* numbers, T* output, std::ptrdiff_t tiles, RowSum& total);
  SoftmaxKernels<T> short_rows[softmax_jobs][3];
  SoftmaxKernels<T> long_rows[softmax_jobs][3];
  Fold folds[2];  // losses of labels alone: value, gradient
  /// The sum of the losses of each folded tile.
  void (*sum_losses)(const FoldedLosses& folded, double* sums);

  [[nodiscard]] const SoftmaxKernels<T>& at(std::ptrdiff_t classes, SoftmaxJob job, Coefficients kind) const {
    const auto& by_job = classes < short_row ? short_rows : long_rows;
    return by_job[static_cast<int>(job)][static_cast<int>(kind)];
  }
};

}  // namespace ndloss
