// The mergeable partial result.
#include <bit>
#include <string>

#include "arrays.hpp"

namespace ndloss::binding {
namespace {

constexpr int state_version = 1;

Reduction reduction_of(const std::string& name) {
  if (name == "mean") {
    return Reduction::mean;
  }
  if (name == "sum") {
    return Reduction::sum;
  }
  throw py::value_error("reduction must be 'mean' or 'sum', got '" + name + "'");
}

py::tuple state_of(const Accumulator& a) {
  return py::make_tuple(state_version, a.sum, a.carry, a.weight, a.weight_carry, a.count);
}

Accumulator from_state(const py::tuple& state) {
  if (state.size() != 6 || state[0].cast<int>() != state_version) {
    throw py::value_error("Accumulator: the pickled state is not of version 1");
  }
  Accumulator a;
  a.sum = state[1].cast<double>();
  a.carry = state[2].cast<double>();
  a.weight = state[3].cast<double>();
  a.weight_carry = state[4].cast<double>();
  a.count = state[5].cast<std::int64_t>();
  return a;
}

}  // namespace

void bind_accumulator(py::module_& m) {
  py::class_<Accumulator>(m, "Accumulator")
      .def(py::init<>())
      .def_property_readonly("total", &Accumulator::total)
      .def_property_readonly("divisor", &Accumulator::divisor)
      .def_readonly("count", &Accumulator::count)
      .def_property_readonly("bad",
                             [](const Accumulator& a) -> py::object {
                               if (!a.bad.found()) {
                                 return py::none();
                               }
                               return py::make_tuple(a.bad.index, static_cast<int>(a.bad.operand), a.bad.value);
                             })
      .def("compute", [](const Accumulator& a, const std::string& reduction) { return a.compute(reduction_of(reduction)); })
      .def("merge", [](Accumulator& a, const Accumulator& other) { a += other; })
      .def("per_row", &per_row)
      .def("share_divisor", &Accumulator::share_divisor)
      .def("copy", [](const Accumulator& a) { return a; })
      .def(py::pickle(&state_of, &from_state));
  m.def("double_of_bits", [](std::uint64_t bits) { return std::bit_cast<double>(bits); });
}

}  // namespace ndloss::binding
