/// Tiles of a block that are copied together, because their classes are so many streams: the logits before they are looked at,
/// the output after the last. And long rows that stand in columns, turned together.
#pragma once

#include <cstdint>

#include "row_walk.hpp"

namespace ndloss {

template <class T>
struct StagedTiles {
  std::int64_t tiles = 0;
  T* input = nullptr;
  T* output = nullptr;
  char* stream = nullptr;       // where the output goes
  const char* ahead = nullptr;  // where the logits of the block behind stand, if it is of the same shape

  /// What there is for the tile `rows` behind the first.
  [[nodiscard]] StagedTiles at(std::int64_t rows, std::int64_t classes) const {
    if (rows / tile_rows >= tiles) {
      return {};
    }
    return {1, input + rows * classes, output == nullptr ? nullptr : output + rows * classes, nullptr, nullptr};
  }

  /// Asks memory for a share of the block behind, so that it comes while the tile `rows` behind the first is computed.
  void ask_ahead(const RowWalk& walk, std::int64_t rows) const {
    const std::int64_t tile = rows / tile_rows;
    if (tile >= tiles) {
      return;
    }
    for (std::int64_t c = tile * walk.classes() / tiles; c < (tile + 1) * walk.classes() / tiles; ++c) {
      for (std::int64_t byte = 0; byte < tiles * tile_bytes<T>; byte += 64) {
        __builtin_prefetch(ahead + c * walk.class_stride(input_array) + byte);
      }
    }
  }
};

/// Copies the logits of the whole tiles from `begin` on to `numbers`, where they are so many streams; the output alone, without
/// other arrays of its shape, goes the same way back.
template <class T>
StagedTiles<T> stage_tiles(const RowWalk& walk, std::int64_t begin, std::int64_t end, T* numbers) {
  StagedTiles<T> staged;
  const std::int64_t tiles = (end - begin) / tile_rows;
  const char* logits = tiles > 0 ? stream_of_tiles<T>(walk, input_array, begin, tiles) : nullptr;
  if (logits == nullptr) {
    return staged;
  }
  staged.tiles = tiles;
  staged.input = numbers;
  staged.ahead = logits + tiles * tile_bytes<T>;
  gather_tiles<T>(walk, input_array, logits, tiles, staged.input);
  bool alone = walk.present(output_array) && !walk.present(target_array);
  for (int k = output_array + 1; k < class_arrays; ++k) {
    alone = alone && !walk.present(k);
  }
  staged.stream = alone ? stream_of_tiles<T>(walk, output_array, begin, tiles) : nullptr;
  if (staged.stream != nullptr) {
    staged.output = numbers + tiles * tile_rows * walk.classes();
  }
  return staged;
}

/// Whether long rows stand in columns, so that each cache line holds a number of so many rows. They are turned some blocks
/// together: tile by tile, a line is gone before the next rows are asked of it.
template <class T>
bool stands_in_columns(const RowWalk& walk) {
  constexpr auto size = static_cast<std::int64_t>(sizeof(T));
  const std::int64_t stride = walk.class_stride(input_array);
  const Strided& logits = walk.array(input_array);
  return !walk.across() && walk.classes() <= row_segment && stride > size && stride % size == 0 &&
         native_at<T>(logits, logits.data);
}

/// Rows one after the other from row `begin` on, or none.
template <class T>
struct TurnedRows {
  T* first = nullptr;
  std::int64_t begin = 0;

  [[nodiscard]] T* at(std::int64_t row, std::int64_t classes) const { return first + (row - begin) * classes; }
};

/// The logits of the rows [begin, end) in `numbers`; none where the rows do not stand side by side.
template <class T>
TurnedRows<T> turn_rows(const RowWalk& walk, std::int64_t begin, std::int64_t end, T* numbers) {
  constexpr auto size = static_cast<std::int64_t>(sizeof(T));
  if (!walk.adjacent(input_array, begin, end - begin, size)) {
    return {};
  }
  const char* first = walk.array(input_array).data + walk.offsets(begin, 1).at(input_array, 0);
  active_pack<T>().turn(reinterpret_cast<const T*>(first), walk.class_stride(input_array) / size, end - begin, walk.classes(),
                        rows_ahead<T>, numbers);
  return {numbers, begin};
}

}  // namespace ndloss
