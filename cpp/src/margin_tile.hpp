/// What a margin kernel is given: a tile of rows, their targets, and where results go. The one language of kernels and driver.
#pragma once

#include <cstddef>
#include <cstdint>

#include "label_table.hpp"
#include "softmax_tile.hpp"

namespace ndloss {

struct Strided;

/// The rows of an output where a kernel along them writes: classes of a type and a stride of their own.
template <class T>
struct MarginRows {
  char* row[tile_rows];
  std::ptrdiff_t stride = 0;  // of the classes, in bytes
  const Strided* array = nullptr;
  /// Null: contiguous classes of the compute type.
  void (*store)(const T* from, std::ptrdiff_t step, std::int64_t count, const Strided& array, char* to,
                std::int64_t stride) = nullptr;
  bool streams = false;  // whether what need not be stored may go past the caches
};

/// Scratch of kernels across rows: class c of row r stands at c * tile_rows + r, but for what is listed.
template <class T>
struct MarginRoom {
  T* numbers = nullptr;  // scores
  T* output = nullptr;   // gradients
  T* others = nullptr;   // several targets: scores of classes that are no target, ...
  T* listed = nullptr;   // ... and labels, row by row
};

/// At most `tile_rows` rows, each with its distinct targets, which are in [0, classes).
///
/// Across kernels (fewer than `short_row` classes) take scores from `room.numbers`, destroy them, and leave gradients in
/// `room.output`. For several targets they take all labels of tile_rows rows, -1 behind a row's last one, instead of `count`
/// and `times`. Along kernels read and write rows where they are stored, a chunk at a time.
template <class T>
struct MarginTile {
  int rows = 0;
  std::ptrdiff_t classes = 0;
  T margin = 1;

  MarginRoom<T> room;
  T* curvature = nullptr;  // one target with squared hinge, beside the gradient; null: not wanted

  const char* row[tile_rows];
  std::ptrdiff_t class_stride = 0;  // in bytes
  void (*pack)(const char* from, std::ptrdiff_t stride, std::ptrdiff_t count, T* to, std::ptrdiff_t step) = nullptr;
  MarginRows<T> out;
  MarginRows<T> second;  // second derivatives, one target with squared hinge; no stride: not wanted

  const std::int64_t* target = nullptr;  // of row r: target[r * target_stride], ..., count[r] of them
  const T* times = nullptr;              // how often each stands there, laid out as target; null: once
  std::ptrdiff_t target_stride = 0;
  std::int64_t count[tile_rows];

  T coefficient[tile_rows];  // multiplies a row's slopes
  double* slopes = nullptr;  // along, several targets: room for one number per target of a row
  double* value = nullptr;   // Σ of a row's hinges
};

enum class MarginJob : std::uint8_t { value, gradient };

/// One target with hinge or squared hinge, or several targets with hinge.
enum class MarginKind : std::uint8_t { one, one_squared, several };

template <class T>
struct MarginTable {
  using Kernel = void (*)(const MarginTile<T>& tile);
  /// Whole tiles of fewer than `short_row` classes, all labels of which are classes, or -1 where there are several: their sum
  /// is added to `total`. Returns how many were done: it ends at a tile with any other label.
  using Fold = std::ptrdiff_t (*)(const LabelledRows<T>& rows, T margin, const MarginRoom<T>& room, std::ptrdiff_t tiles,
                                  RowSum& total);
  Kernel short_rows[2][3];
  Kernel long_rows[2][3];
  Fold folds[2][3];

  [[nodiscard]] Kernel at(std::ptrdiff_t classes, MarginJob job, MarginKind kind) const {
    return (classes < short_row ? short_rows : long_rows)[static_cast<int>(job)][static_cast<int>(kind)];
  }

  [[nodiscard]] Fold fold(MarginJob job, MarginKind kind) const { return folds[static_cast<int>(job)][static_cast<int>(kind)]; }
};

/// Whether all labels lie in [lowest, classes), for lowest = 0 or -1. Compared as unsigned numbers: with lowest = 0 the bits of
/// a large uint64 are outside.
using LabelsInside = bool (*)(const std::int64_t* labels, std::ptrdiff_t count, std::int64_t lowest, std::int64_t classes);

}  // namespace ndloss
