import streamlit as st

st.write("how")
