// Joining the dimensions of arrays that are walked together.
#include "layout.hpp"

#include <bit>

namespace ndloss {

Layout lay_out(const ArrayView* const* views, int count, Strided* arrays) {
  Layout layout;
  const ArrayView& first = *views[0];
  for (int k = 0; k < count; ++k) {
    if (views[k] == nullptr) {
      arrays[k].data = nullptr;
    } else {
      arrays[k].data = static_cast<const char*>(views[k]->data);
      arrays[k].dtype = views[k]->dtype;
      arrays[k].swapped = views[k]->swapped && item_size(views[k]->dtype) > 1;
    }
  }
  for (int d = 0; d < first.ndim; ++d) {
    const auto from = static_cast<std::size_t>(d);
    const std::int64_t extent = first.shape[from];
    layout.size *= extent;
    if (extent == 1) {
      continue;
    }
    bool joins = layout.ndim > 0;
    for (int k = 0; joins && k < count; ++k) {
      joins = views[k] == nullptr || arrays[k].strides[layout.ndim - 1] == views[k]->strides[from] * extent;
    }
    const int to = joins ? layout.ndim - 1 : layout.ndim++;
    layout.shape[to] = joins ? layout.shape[to] * extent : extent;
    for (int k = 0; k < count; ++k) {
      arrays[k].strides[to] = views[k] == nullptr ? 0 : views[k]->strides[from];
    }
  }
  for (int k = 0; k < count; ++k) {
    if (views[k] != nullptr) {
      Strided& array = arrays[k];
      const std::int64_t item = item_size(array.dtype);
      std::int64_t stride = item;
      bool even = true;
      for (int d = layout.ndim - 1; d >= 0; --d) {
        even = even && array.strides[d] == stride;
        stride *= layout.shape[d];
      }
      array.contiguous =
          even && !array.swapped && std::bit_cast<std::uintptr_t>(array.data) % static_cast<std::uintptr_t>(item) == 0;
    }
  }
  return layout;
}

}  // namespace ndloss
