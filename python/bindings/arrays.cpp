// NumPy arrays as views of the core.
#include "arrays.hpp"

#include <string>

namespace ndloss::binding {
namespace {

/// Floating types that NumPy knows from the package ml_dtypes alone, by name. Two bytes without a type are bfloat16 where that
/// package is missing: `_array.py` makes them.
std::optional<DType> foreign_dtype(const std::string& name) {
  constexpr struct {
    const char* name;
    DType dtype;
  } known[] = {
      {"bfloat16", DType::bfloat16},
      {"void16", DType::bfloat16},
      {"float8_e3m4", DType::float8_e3m4},
      {"float8_e4m3", DType::float8_e4m3},
      {"float8_e4m3b11fnuz", DType::float8_e4m3b11fnuz},
      {"float8_e4m3fn", DType::float8_e4m3fn},
      {"float8_e4m3fnuz", DType::float8_e4m3fnuz},
      {"float8_e5m2", DType::float8_e5m2},
      {"float8_e5m2fnuz", DType::float8_e5m2fnuz},
      {"float8_e8m0fnu", DType::float8_e8m0fnu},
  };
  for (const auto& one : known) {
    if (name == one.name) {
      return one.dtype;
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<DType> dtype_of_array(const py::array& array) {
  const py::dtype dtype = array.dtype();
  const auto size = dtype.itemsize();
  switch (dtype.kind()) {
    case 'f':
      return size == 4   ? std::optional(DType::float32)
             : size == 8 ? std::optional(DType::float64)
             : size == 2 ? std::optional(DType::float16)
                         : foreign_dtype(py::str(dtype.attr("name")));
    case 'V':
      return foreign_dtype(py::str(dtype.attr("name")));
    case 'b':
      return DType::boolean;
    case 'i':
      return size == 8 ? DType::int64 : size == 4 ? DType::int32 : size == 2 ? DType::int16 : DType::int8;
    case 'u':
      return size == 8 ? DType::uint64 : size == 4 ? DType::uint32 : size == 2 ? DType::uint16 : DType::uint8;
    default:
      return std::nullopt;
  }
}

ArrayView view_of(const py::array& array) {
  const std::optional<DType> dtype = dtype_of_array(array);
  if (!dtype) {
    throw py::type_error("ndloss: arrays of dtype " + std::string(py::str(array.dtype())) + " are not supported");
  }
  ArrayView view;
  view.data = array.data();
  view.dtype = *dtype;
  view.swapped = array.dtype().byteorder() == '>';
  view.ndim = static_cast<int>(array.ndim());
  for (int d = 0; d < view.ndim; ++d) {
    view.shape[static_cast<std::size_t>(d)] = array.shape(d);
    view.strides[static_cast<std::size_t>(d)] = array.strides(d);
  }
  return view;
}

Output output_of(const py::object& object) {
  Views views;
  const Output output = output_of(object, views);
  if (output.layout != nullptr) {
    throw py::type_error("ndloss: these results go to C-contiguous arrays");
  }
  return output;
}

Output output_of(const py::object& object, Views& views) {
  if (object.is_none()) {
    return {};
  }
  py::array array = py::reinterpret_borrow<py::array>(object);
  const std::optional<DType> dtype = dtype_of_array(array);
  if (!dtype || *dtype > DType::bfloat16) {
    throw py::type_error("ndloss: results go to floating-point arrays");
  }
  Output output(array.mutable_data(), *dtype, array.size());
  constexpr int in_place = int{py::array::c_style} | int{py::detail::npy_api::NPY_ARRAY_ALIGNED_};
  if ((array.flags() & in_place) != in_place || array.dtype().byteorder() == '>') {
    output.layout = views.add(object);
  }
  return output;
}

Interrupt signals() {
  return {[](void*) {
            const py::gil_scoped_acquire acquired;
            return PyErr_CheckSignals() != 0;
          },
          nullptr};
}

}  // namespace ndloss::binding
