/// Tiles of a block that are copied together, because their classes are so many streams: the logits before they are looked at,
/// the output after the last.
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

}  // namespace ndloss
